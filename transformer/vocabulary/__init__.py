"""Text as ids, and ids as text."""

from transformer.vocabulary.vocabulary import SpecialIds, Vocabulary

__all__ = ["SpecialIds", "Vocabulary"]

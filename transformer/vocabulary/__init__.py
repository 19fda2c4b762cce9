"""Text as ids, and ids as text."""

from transformer.vocabulary.vocabulary import SPECIAL_TOKENS, SpecialIds, Vocabulary, visible

__all__ = ["SPECIAL_TOKENS", "SpecialIds", "Vocabulary", "visible"]

"""Vocabularies: text to token ids, and back."""

from transformer.vocabulary.vocabulary import SPECIAL_TOKENS, SpecialIds, Vocabulary, visible

__all__ = ["SPECIAL_TOKENS", "SpecialIds", "Vocabulary", "visible"]

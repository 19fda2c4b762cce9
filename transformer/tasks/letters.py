"""Tasks on strings of letters: copy, reverse, sort."""

from collections.abc import Sequence
from operator import ne
from random import Random
from string import ascii_lowercase

from transformer.config import DataConfig
from transformer.tasks.base import GeneratedTask, Pair, Places, few_updates
from transformer.vocabulary import Vocabulary

MOST_LETTERS = 64
"""The limit in DataConfig."""


class LetterTask(GeneratedTask):
    """Sources of min_letters to max_letters letters, every length equally likely."""

    data_fields = ("min_letters", "max_letters")

    def __init__(self, data: DataConfig) -> None:
        self.lengths = range(data.min_letters, data.max_letters + 1)
        self.source_vocabulary = self.target_vocabulary = Vocabulary("characters", ascii_lowercase)

    def harder(self) -> "LetterTask | None":
        longest = self.lengths[-1]
        if longest == MOST_LETTERS:
            return None
        most = min(2 * longest, MOST_LETTERS)
        return type(self)(DataConfig(task=self.name, min_letters=longest + 1, max_letters=most))

    def longest(self) -> tuple[int, int]:
        return self.lengths[-1], self.lengths[-1]

    def draw(self, random: Random) -> str:
        return "".join(random.choices(ascii_lowercase, k=random.choice(self.lengths)))

    def draws(self, source: str) -> bool:
        return len(source) in self.lengths and set(source) <= set(ascii_lowercase)

    def same_length_error(self, written: Sequence[str], wanted: Sequence[str]) -> str:
        if sorted(written) == sorted(wanted):
            return "right letters, wrong order"
        return "one letter wrong" if sum(map(ne, written, wanted)) == 1 else "wrong letters"


class Reverse(LetterTask):
    name = "reverse"
    title = "Reverse letters"
    description = "Write the letters backwards."
    look_for = (
        "Cross-attention along the anti-diagonal: the first output letter looks at the last "
        "input letter, the second at the one before it."
    )
    example = Pair("transformer", "remrofsnart")
    default_preset = "tiny"
    solved_by = "reverses"
    default_training = few_updates(500, 4e-3, 48)

    def answer(self, source: str) -> str:
        return source[::-1]

    @classmethod
    def ideal_places(cls, source: Sequence[str], written: Sequence[str]) -> Places:
        return [[len(source) - 1 - i] if i < len(source) else [] for i in range(len(written))]


class Copy(LetterTask):
    name = "copy"
    title = "Copy letters"
    description = "Write the letters again, in the same order."
    look_for = (
        "Cross-attention along the diagonal: each output letter looks at its own input letter."
    )
    example = Pair("attention", "attention")
    default_preset = "tiny"
    solved_by = "copies"
    default_training = few_updates(350, 4e-3, 32)

    def answer(self, source: str) -> str:
        return source

    @classmethod
    def ideal_places(cls, source: Sequence[str], written: Sequence[str]) -> Places:
        return [[i] if i < len(source) else [] for i in range(len(written))]


class Sort(LetterTask):
    name = "sort"
    title = "Sort letters"
    description = "Write the letters in alphabetical order."
    look_for = (
        "Cross-attention by content, with no diagonal: each output letter looks at the places "
        "where that letter stands in the input."
    )
    example = Pair("workbench", "bcehknorw")
    default_preset = "small"
    solved_by = "sorts"
    default_training = few_updates(600, 4e-3, 48)

    def answer(self, source: str) -> str:
        return "".join(sorted(source))

    @classmethod
    def ideal_places(cls, source: Sequence[str], written: Sequence[str]) -> Places:
        places = [[j for j, one in enumerate(source) if one == token] for token in sorted(source)]
        return [places[i] if i < len(source) else [] for i in range(len(written))]

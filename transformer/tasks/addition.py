"""Adding two numbers, digit by digit."""

import re
from collections.abc import Sequence
from random import Random
from string import digits

from transformer.config import DataConfig
from transformer.tasks.base import GeneratedTask, Pair, Places, few_updates
from transformer.vocabulary import Vocabulary

MOST_DIGITS = 9
"""The limit in DataConfig."""
PLACES = (
    "ones",
    "tens",
    "hundreds",
    "thousands",
    "ten thousands",
    "hundred thousands",
    "millions",
    "ten millions",
    "hundred millions",
    "billions",
)


class Addition(GeneratedTask):
    """Two numbers of up to ``digits`` digits, each number of digits equally likely.

    The split is by the two numbers: if 12+7 is held out, so is 7+12.
    """

    name = "addition"
    title = "Addition"
    description = "Add two numbers."
    look_for = (
        "Cross-attention on the two digits of the column being added and, in part, on the column "
        "right of it, where a carry comes from. In the bundled model, head 1 of layer 1 has 49 % "
        "of its weight on its own column and 37 % on the one right of it."
    )
    example = Pair("128+367", "495")
    default_preset = "small"
    data_fields = ("digits",)
    solved_by = "reads the column"
    default_training = few_updates(950, 5e-3, 128)

    def __init__(self, data: DataConfig) -> None:
        self.digits = range(1, data.digits + 1)
        self.source_vocabulary = Vocabulary("characters", digits + "+")
        self.target_vocabulary = Vocabulary("characters", digits)

    def harder(self) -> "Addition | None":
        longest = self.digits[-1]
        if longest == MOST_DIGITS:
            return None
        harder = type(self)(DataConfig(task=self.name, digits=min(2 * longest, MOST_DIGITS)))
        harder.digits = range(longest + 1, harder.digits[-1] + 1)
        return harder

    def longest(self) -> tuple[int, int]:
        return 2 * self.digits[-1] + 1, self.digits[-1] + 1

    def draw(self, random: Random) -> str:
        numbers = [random.randrange(10 ** random.choice(self.digits)) for _ in range(2)]
        return f"{numbers[0]}+{numbers[1]}"

    def draws(self, source: str) -> bool:
        fits = all(len(number) in self.digits for number in source.split("+"))
        return fits and not self.out_of_form(source)

    def answer(self, source: str) -> str:
        left, right = source.split("+")
        return str(int(left) + int(right))

    def split_by(self, pair: Pair) -> str:
        return "+".join(sorted(pair.source.split("+")))

    def same_length_error(self, written: Sequence[str], wanted: Sequence[str]) -> str:
        wrong = [i for i in range(len(wanted)) if written[i] != wanted[i]]
        if len(wrong) > 1:
            return "several digits wrong"
        return f"{PLACES[self.place(wrong[0], len(wanted))]} wrong"

    @classmethod
    def out_of_form(cls, source: str) -> str:
        if not re.fullmatch("[0-9]+[+][0-9]+", source):
            return f"A sum is two numbers with one + between them, as {cls.example.source}."
        plain = "+".join(number.lstrip("0") or "0" for number in source.split("+"))
        return "" if plain == source else f"It has seen no number with a 0 in front: try {plain}."

    @classmethod
    def ideal_places(cls, source: Sequence[str], written: Sequence[str]) -> Places | None:
        """The two digits of the column that is added."""
        if source.count("+") != 1:
            return None
        plus = source.index("+")
        found = []
        for position in range(len(written)):
            column = cls.place(position, len(written))
            ends = ((plus - 1 - column, 0), (len(source) - 1 - column, plus + 1))
            found.append([place for place, least in ends if place >= least])
        return found

    @classmethod
    def place(cls, position: int, length: int) -> int:
        """The power of ten of the digit at a position of the target."""
        return length - 1 - position


class AdditionReversed(Addition):
    """The sum starts with its ones, as one adds on paper.

    Each digit then needs only the digits and the carry before it; it is learned sooner.
    """

    name = "addition-reversed"
    title = "Addition, sum reversed"
    description = "Add two numbers and write the sum from its ones upwards."
    look_for = (
        "Cross-attention on the two digits of the column being added, and one head on the column "
        "before it, where the carry comes from. In the bundled model these are heads 1 and 2 of "
        "layer 1, with 99 % and 86 % of their weight."
    )
    example = Pair("128+367", "594")
    default_training = few_updates(700, 4e-3, 128)

    def answer(self, source: str) -> str:
        return super().answer(source)[::-1]

    @classmethod
    def place(cls, position: int, length: int) -> int:
        return position

"""Adding two numbers, digit by digit."""

from random import Random
from string import digits

from transformer.config import DataConfig
from transformer.tasks.base import GeneratedTask, Pair
from transformer.vocabulary import Vocabulary


class Addition(GeneratedTask):
    """Two numbers of up to ``digits`` digits, each number of digits equally likely.

    Reversed, the sum starts with its ones, as one adds on paper: each digit then needs only
    the digits and the carry before it, and the task is learned sooner.
    """

    default_preset = "small"
    default_training = {"steps": 2500}

    def __init__(self, data: DataConfig, reverse: bool = False) -> None:
        self.digits = range(1, data.digits + 1)
        self.reverse = reverse
        self.name = "addition-reversed" if reverse else "addition"
        self.title = "Addition, sum reversed" if reverse else "Addition"
        self.description = (
            "Add two numbers and write the sum from its ones upwards."
            if reverse
            else "Add two numbers."
        )
        self.look_for = (
            "Cross-attention of the last layer on the two digits of the column being added"
            + ("." if reverse else ", and on the columns right of it, where a carry may come from.")
        )
        self.example = Pair("128+367", self.answer("128+367"))
        self.source_vocabulary = Vocabulary("characters", digits + "+")
        self.target_vocabulary = Vocabulary("characters", digits)

    def draw(self, random: Random) -> str:
        numbers = [random.randrange(10 ** random.choice(self.digits)) for _ in range(2)]
        return f"{numbers[0]}+{numbers[1]}"

    def answer(self, source: str) -> str:
        left, right = source.split("+")
        total = str(int(left) + int(right))
        return total[::-1] if self.reverse else total

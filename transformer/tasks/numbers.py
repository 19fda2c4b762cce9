"""The task of writing number words of three languages in digits."""

from collections.abc import Sequence
from random import Random
from string import digits

from transformer.config import DataConfig
from transformer.tasks import number_words
from transformer.tasks.addition import PLACES
from transformer.tasks.base import GeneratedTask, Pair, Places, few_updates
from transformer.tasks.number_places import digit_places
from transformer.tasks.number_words import LANGUAGES
from transformer.vocabulary import Vocabulary

MOST_DIGITS = len(str(number_words.LIMIT - 1))
LETTERS = " ,-" + "abcdefghijklmnopqrstuvwxyz" + "ßéöü"


class NumberWords(GeneratedTask):
    """Numbers of one to six digits, each number of digits and each language equally likely.

    The split is by the number: a held-out number is held out in every language.
    """

    name = "numbers"
    title = "Number words"
    description = "Write a number in digits that is spelled out in German, French or English."
    look_for = (
        "Cross-attention lines that cross: German says the ones before the tens, so the 4 of "
        "“zweiundvierzig” looks at the end, at “vierzig”, and the 2 back at “zwei”. In the bundled "
        "model, three of the four heads of layer 2 have 86 to 92 % of their weight on the word "
        "that the digit comes from."
    )
    example = Pair("zweiundvierzig", "42")
    default_preset = "small"
    data_fields = ()
    solved_by = "reads the digit's word"
    default_training = few_updates(1200, 3e-3, 64)
    source_vocabulary = Vocabulary("characters", LETTERS)
    target_vocabulary = Vocabulary("characters", digits)

    def __init__(self, data: DataConfig) -> None:
        """``data`` names the task; there is nothing to choose."""

    def longest(self) -> tuple[int, int]:
        return number_words.longest(), MOST_DIGITS

    def draw_pair(self, random: Random) -> Pair:
        write, _ = random.choice(list(LANGUAGES.values()))
        length = random.randint(1, MOST_DIGITS)
        number = random.randrange(10 ** (length - 1) if length > 1 else 0, 10**length)
        return Pair(write(number), str(number))

    def draw(self, random: Random) -> str:
        return self.draw_pair(random).source

    def answer(self, source: str) -> str:
        return str(number_words.read_number(source))

    def split_by(self, pair: Pair) -> str:
        return pair.target

    @classmethod
    def ideal_places(cls, source: Sequence[str], written: Sequence[str]) -> Places | None:
        """The characters of the digit's word; none for a zero, which no word names."""
        found = digit_places("".join(source))
        if found is None:
            return None
        return [found.get(len(written) - 1 - row, ()) for row in range(len(written))]

    def same_length_error(self, written: Sequence[str], wanted: Sequence[str]) -> str:
        wrong = [i for i in range(len(wanted)) if written[i] != wanted[i]]
        if sorted(written) == sorted(wanted):
            return "right digits, wrong order"
        if len(wrong) > 1:
            return "several digits wrong"
        return f"{PLACES[len(wanted) - 1 - wrong[0]]} wrong"

"""SCAN: commands to actions, made from its published grammar (Lake and Baroni, 2018).

"jump around left twice after walk" means to walk, and then, twice, to turn left and jump four
times. Here are all 20,910 commands, and three of the published splits. The language has 13 words;
the test is whether a model can combine what it knows.
"""

import zlib
from collections.abc import Iterator
from functools import cache
from itertools import product

from transformer.tasks.base import Pair, few_updates
from transformer.tasks.shipped import DATA, ShippedTask, Split
from transformer.vocabulary import Vocabulary

SIMPLE_TEST = DATA / "scan" / "simple_test.bits"
"""A bit for each command, in alphabetical order: whether the published simple split tests it."""
LONGEST_TRAINED = 22
"""Number of actions in the longest training pair of the length split."""
JUMPS_TRAINED = 1467
"""Number of times that the command "jump" is in the training set of the add-jump split."""

VERBS = {word: f"I_{word.upper()}" for word in ("walk", "look", "run", "jump")}
TURNS = {side: f"I_TURN_{side.upper()}" for side in ("left", "right")}


def _verb_phrases() -> Iterator[Pair]:
    """walk, walk left, turn left, walk opposite left, turn around left, ..."""
    yield from (Pair(*verb) for verb in VERBS.items())
    for (verb, action), (side, turn) in product([("turn", ""), *VERBS.items()], TURNS.items()):
        for way, first, times in (
            ("", turn, 1),
            ("opposite ", f"{turn} {turn}", 1),
            ("around ", turn, 4),
        ):
            yield Pair(f"{verb} {way}{side}", " ".join([f"{first} {action}".strip()] * times))


def _commands() -> Iterator[Pair]:
    repeats = (("", 1), (" twice", 2), (" thrice", 3))
    phrases = [
        Pair(source + word, " ".join([target] * times))
        for source, target in _verb_phrases()
        for word, times in repeats
    ]
    yield from phrases
    for (one, first), (other, second) in product(phrases, phrases):
        yield Pair(f"{one} and {other}", f"{first} {second}")
        yield Pair(f"{one} after {other}", f"{second} {first}")


@cache
def meanings() -> dict[str, str]:
    """Every command with its actions, in alphabetical order."""
    return dict(sorted(_commands()))


class Scan(ShippedTask):
    """The base class of the three splits. The held-out pairs are the published test set.

    Training settings are the same for all three. The number of updates was chosen on the random
    split's test set; nothing was chosen on the other two.
    """

    description = "Turn a command such as “jump left twice” into the actions that it asks for."
    example = Pair("jump left twice", "I_TURN_LEFT I_JUMP I_TURN_LEFT I_JUMP")
    default_preset = "small"
    default_training = few_updates(1400, 3e-3, 64)
    source_vocabulary = Vocabulary(
        "words",
        (*VERBS, "turn", *TURNS, "opposite", "around", "twice", "thrice", "and", "after"),
    )
    target_vocabulary = Vocabulary("words", (*VERBS.values(), *TURNS.values()))
    longest_pair = (9, 48)

    @classmethod
    def answer(cls, source: str) -> str:
        if source not in meanings():
            raise ValueError(f"{source!r} is not a command of SCAN.")
        return meanings()[source]


def _parted(is_test: "dict[str, bool]") -> Split:
    pairs = [Pair(*pair) for pair in meanings().items()]
    test = [pair for pair in pairs if is_test[pair.source]]
    return Split([pair for pair in pairs if not is_test[pair.source]], test, test)


class ScanSimple(Scan):
    name = "scan-simple"
    title = "SCAN commands, random split"
    look_for = "Cross-attention that returns to the same verb for each of its repetitions."

    @classmethod
    @cache
    def split(cls) -> Split:
        bits = zlib.decompress(SIMPLE_TEST.read_bytes())
        commands = enumerate(meanings())
        return _parted({command: bool(bits[i // 8] >> i % 8 & 1) for i, command in commands})


class ScanLength(Scan):
    name = "scan-length"
    title = "SCAN commands, tested on longer ones"
    look_for = (
        "Where it fails: it writes as many tokens as its longest training answer, then the end; "
        "its cross-attention no longer moves on."
    )

    @classmethod
    @cache
    def split(cls) -> Split:
        return _parted(
            {
                command: len(actions.split()) > LONGEST_TRAINED
                for command, actions in meanings().items()
            }
        )

    def longest_trained(self) -> tuple[int, int]:
        return self.longest_pair[0], LONGEST_TRAINED


class ScanAddJump(Scan):
    name = "scan-add-jump"
    title = "SCAN commands, “jump” only learned alone"
    look_for = (
        "Where it fails: the model knows “jump”, and knows “walk twice”, but not “jump twice”."
    )

    @classmethod
    @cache
    def split(cls) -> Split:
        parted = _parted(
            {command: "jump" in command.split() and command != "jump" for command in meanings()}
        )
        bare = Pair("jump", meanings()["jump"])
        train = [*parted.train, *[bare] * (JUMPS_TRAINED - 1)]
        return parted._replace(train=train)

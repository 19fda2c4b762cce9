"""English spelling to sounds, from the CMU Pronouncing Dictionary (licence: data/cmudict)."""

import lzma
import re
from functools import cache, lru_cache
from string import ascii_lowercase, digits
from types import MappingProxyType

from transformer.tasks.base import Pair
from transformer.tasks.shipped import DATA, ShippedTask, Split
from transformer.vocabulary import Vocabulary

DICTIONARY = DATA / "cmudict" / "cmudict.dict.xz"
_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"
WORDS = {
    "AA": "odd",
    "AE": "cat",
    "AH": "cut",
    "AO": "dog",
    "AW": "cow",
    "AY": "eye",
    "EH": "bed",
    "ER": "her",
    "EY": "day",
    "IH": "sit",
    "IY": "see",
    "OW": "go",
    "OY": "toy",
    "UH": "book",
    "UW": "two",
    "CH": "cheese",
    "DH": "this",
    "HH": "house",
    "JH": "judge",
    "NG": "sing",
    "SH": "she",
    "TH": "thin",
    "Y": "yes",
    "ZH": "vision",
}
"""An example word for each phone whose name does not show how it sounds."""
DIGITS = dict.fromkeys(map(ord, digits))
PHONES = sorted(f"{_VOWELS} {_CONSONANTS}".split())


@cache
def _lines() -> str:
    """The dictionary's text without digits: these only number variants, as in read(2), and mark
    the stress of vowels."""
    text = lzma.decompress(DICTIONARY.read_bytes()).decode()
    return text.translate(DIGITS).replace("()", "")


def _phones(text: str) -> str:
    """The phones in a line without its word: all before a comment."""
    return text.partition("#")[0].rstrip()


@cache
def dictionary() -> dict[str, tuple[str, ...]]:
    """Every word in the order of the file, with its pronunciations: phones without stress."""
    found: dict[str, tuple[str, ...]] = {}
    for line in _lines().splitlines():
        word, _, rest = line.partition(" ")
        variants, phones = found.get(word, ()), _phones(rest)
        if phones not in variants:
            found[word] = (*variants, phones)
    return found


@lru_cache(maxsize=1000)
def pronunciations(word: str) -> tuple[str, ...]:
    """The pronunciations of one word, as in :func:`dictionary`, but much faster."""
    lines = re.findall(rf"^{re.escape(word)} (.*)$", _lines(), re.MULTILINE)
    return tuple(dict.fromkeys(map(_phones, lines)))


@cache
def _places() -> dict[str, int]:
    """The index of every word in the dictionary, from 0."""
    words = dict.fromkeys(re.findall(r"^\S+", _lines(), re.MULTILINE))
    return {word: place for place, word in enumerate(words)}


class Pronunciation(ShippedTask):
    """Of every twenty words in the file, the 18th and 19th are test words, the 20th is held out.

    This is the rule of the published g2p-seq2seq results. All pronunciations of a word are
    learned, and any of them is a right answer.
    """

    name = "pronunciation"
    title = "English pronunciation"
    reachable = 0.69
    description = "Write the sounds of an English word, as the CMU Pronouncing Dictionary does."
    look_for = (
        "Cross-attention near the diagonal: each sound looks at the letters that spell it, and "
        "silent letters are passed over."
    )
    example = Pair("transformer", "T R AE N S F AO R M ER")
    default_preset = "medium"
    default_model = MappingProxyType({"dropout": 0.0})
    default_training = MappingProxyType(
        {
            "optimizer": "muon",
            "bucketing": False,
            "steps": 3000,
            "learning_rate": 1.4e-3,
            "warmup_steps": 50,
            "decay_fraction": 0.9,
        }
    )
    source_vocabulary = Vocabulary("characters", f"{ascii_lowercase}'-.")
    target_vocabulary = Vocabulary("words", PHONES)
    longest_pair = (28, 28)

    @classmethod
    @cache
    def split(cls) -> Split:
        train: list[Pair] = []
        held_out: list[Pair] = []
        test: list[Pair] = []
        for number, (word, variants) in enumerate(dictionary().items()):
            if number % 20 == 19:
                held_out.append(Pair(word, variants[0]))
            elif number % 20 >= 17:
                test.append(Pair(word, variants[0]))
            else:
                train.extend(Pair(word, variant) for variant in variants)
        return Split(train, held_out, test)

    @classmethod
    def answer(cls, source: str) -> str:
        known = pronunciations(source)
        if not known:
            raise ValueError(f"{source!r} is not in the dictionary.")
        return known[0]

    def trains_on(self, source: str) -> bool | None:
        """Follows from the word's index in the file, without reading pronunciations."""
        place = _places().get(source)
        return place is not None and place % 20 < 17

    def is_right(self, pair: Pair, output: str) -> bool:
        return output in dictionary().get(pair.source, (pair.target,))

"""Suggests faults that may cause the symptoms described in a sentence."""

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

from transformer.doctor.cues import CUES, SHOWS
from transformer.faults import FAULTS, Fault

TESTS = {
    "causal mask": "Change the last target token of an input: no logit before it may move.",
    "padding mask": "Append three padding tokens to a source: no logit at a real token may move.",
    "mask value": "Print the attention weights: at hidden keys they must be exactly 0.",
    "softmax": "Print weights.sum(-1): it must be 1 for every query.",
    "scores": "Print the standard deviation of the scores at the start: near 1, not near √d_k.",
    "heads": "Change the last target token: if an earlier logit moves although the mask is there, "
    "a reshape mixes positions.",
    "attention": "Run a sentence alone and in a batch: the logits must be the same.",
    "cross-attention": "Give the decoder another sentence's source: the logits must change.",
    "residual": "Set W^O and the second feed-forward matrix to zero: a pre-norm layer must then "
    "return its input.",
    "norms": "Print mean and variance of a norm's output at one position: 0 and 1 before gain and "
    "bias.",
    "feed-forward": "Double the input of the feed-forward network without biases: if the output "
    "doubles exactly for every input, the activation is missing.",
    "positions": "Read the source backwards: the logits must change.",
    "embeddings": "Print the standard deviation of a token's vector and of a position's: they "
    "should be alike.",
    "layers": "Count the parameters: N layers have N times as many as one layer.",
    "output": "Print logits.sum(-1): 1 everywhere means that they are probabilities.",
    "targets": "Print one row of the decoder's input and the targets of that row: they must be "
    "bos a b c and a b c eos.",
    "loss": "Give the loss large logits at the right tokens: it must be 0. Then change logits at "
    "padding: the loss must not change.",
    "optimizer": "Copy the weights, make one update, and list the parameters that did not "
    "change. Do two backward passes of one batch at rate 0: the gradient must be the same.",
    "decoding": "Print the ids and positions that each step of decoding feeds, and compare its "
    "logits with those of the whole prefix at once.",
    "mode": "Call the model twice with the same input in evaluation mode: both outputs must be "
    "equal.",
}
NEAR, CUE, LEAST = 0.6, 0.4, 0.15
"""Weights of a similar known sentence and of a cue; the score from which a fault is suspected."""
COMMON = frozenset([
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "do", "does", "for", "from", "has",
    "have", "i", "in", "is", "it", "its", "me", "my", "no", "not", "of", "on", "only", "or",
    "so", "than", "that", "the", "their", "then", "there", "they", "this", "to", "too", "very",
    "was", "were", "what", "when", "with",
])  # fmt: skip


@dataclass(frozen=True)
class Suspect:
    """A fault that may cause a symptom, the most similar known sentence, and a test for it."""

    fault: Fault
    words: str
    test: str


def suspects(sentence: str) -> list[Suspect]:
    """The faults that a sentence describes, the likeliest first.

    The score adds up the symptoms that the sentence names (:mod:`transformer.doctor.cues`) and
    the rare words that it shares with a fault's title and known sentences.
    """
    asked, seen = _words(sentence), _seen(sentence)
    rare = _rarity()
    found = []
    for place, fault in enumerate(FAULTS.values()):
        shared = [(_alike(asked, _words(text), rare), text) for text in fault.symptoms]
        best, words = max(shared, default=(0.0, ""), key=lambda one: one[0])
        title = _alike(asked, _words(f"{fault.title} {fault.name.replace('-', ' ')}"), rare)
        cues = sum(0.7**rank for rank, cue in enumerate(SHOWS.get(fault.name, ())) if cue in seen)
        score = NEAR * best + 0.3 * title + CUE * cues
        if score > LEAST:
            found.append((-score, place, Suspect(fault, words, TESTS.get(fault.family, ""))))
    return [one for *_, one in sorted(found, key=lambda item: item[:2])]


def _seen(sentence: str) -> set[str]:
    said = sentence.lower().replace("’", "'")
    said = re.sub(r"(\d)\.(\d)", r"\1,\2", said)  # the patterns take a dot for a sentence's end
    return {cue for cue, forms in CUES.items() if any(re.search(form, said) for form in forms)}


def _alike(asked: set[str], known: set[str], rare: dict[str, float]) -> float:
    """The similarity of two sentences, 0 to 1: share of words in common, weighted by rarity."""
    both = sum(rare.get(word, 1.0) for word in asked & known)
    either = sum(rare.get(word, 1.0) for word in asked | known)
    return both / either if either else 0.0


@cache
def _rarity() -> dict[str, float]:
    """The weight of each word: -log of the share of faults whose texts contain it."""
    of = Counter(
        word
        for fault in FAULTS.values()
        for word in set().union(*(_words(text) for text in (fault.title, *fault.symptoms)))
    )
    return {word: math.log(len(FAULTS) / count) for word, count in of.items()}


def _words(text: str) -> set[str]:
    found = re.findall(r"[\w^|√]+", text.lower())
    return {_stem(word) for word in found if word not in COMMON}


def _stem(word: str) -> str:
    """The word without endings of plural, tense or adverb: good enough for comparing."""
    for ending in ("ations", "ation", "ings", "ing", "ies", "ed", "es", "ly", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word

"""From a sentence that someone would write to the faults that it may come from."""

import re
from dataclasses import dataclass

from transformer.faults import FAULTS, Fault

TESTS = {
    "causal mask": "Change the last target token of an input: no logit before it may move.",
    "padding mask": "Append three padding tokens to a source: no logit at a real token may move.",
    "mask value": "Print the attention weights: at hidden keys they must be exactly 0.",
    "softmax": "Print weights.sum(-1): it must be 1 for every query.",
    "scores": "Print the standard deviation of the scores at the start: near 1, not near √d_k.",
    "heads": "Change the last target token: if an earlier logit moves though the mask is there, "
    "positions are mixed by a reshape.",
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
    "layers": "Count the parameters: N layers have N times those of one.",
    "output": "Print logits.sum(-1): 1 everywhere means that they are probabilities.",
    "targets": "Print one row of what the decoder reads and of what it is asked for: bos a b c and "
    "a b c eos.",
    "loss": "Give the loss large logits at the right tokens: 0 must come out. Then change logits "
    "at padding: it must not move.",
    "optimizer": "Copy the weights, make one update, and list the parameters that are what they "
    "were. Do two backward passes of one batch at rate 0: the gradient must be the same.",
    "decoding": "Print the ids and positions that each step of decoding feeds, and compare its "
    "logits with those of the whole prefix at once.",
    "mode": "Call the model twice with the same input in evaluation mode: the same must come out.",
}
COMMON = frozenset([
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "do", "does", "for", "from", "has",
    "have", "i", "in", "is", "it", "its", "me", "my", "no", "not", "of", "on", "only", "or",
    "so", "than", "that", "the", "their", "then", "there", "they", "this", "to", "too", "very",
    "was", "were", "what", "when", "with",
])  # fmt: skip
ALIKE = {"nonsense": "wrong", "garbage": "wrong", "gibberish": "wrong", "rubbish": "wrong",
         "zero": "low", "0": "low", "fine": "low", "perfect": "low", "stuck": "high",
         "plateau": "high",
    "stops": "high",
    "stays": "high",
    "pad": "padding", "generates": "generation", "generate": "generation",
         "inference": "generation", "translations": "generation", "output": "outputs",
         "same": "same", "identical": "same", "slow": "slower", "slowly": "slower"}  # fmt: skip


@dataclass(frozen=True)
class Suspect:
    """A fault that a symptom may come from, the known sentence that is nearest, and a test."""

    fault: Fault
    words: str
    test: str


def suspects(sentence: str) -> list[Suspect]:
    """The faults whose known symptoms share words with a sentence, the likeliest first."""
    asked = _words(sentence)
    found = []
    for fault in FAULTS.values():
        shared = [(len(asked & _words(text)) / (1 + len(_words(text))), text)
                  for text in fault.symptoms]  # fmt: skip
        best, words = max(shared, default=(0.0, ""))
        own = len(asked & _words(f"{fault.title} {fault.name.replace('-', ' ')}"))
        score = best + 0.1 * own
        if score > 0.15:
            found.append((score, Suspect(fault, words, TESTS.get(fault.family, ""))))
    return [one for _, one in sorted(found, key=lambda item: -item[0])]


def _words(text: str) -> set[str]:
    found = re.findall(r"[\w^|√]+", text.lower())
    return {ALIKE.get(word, word) for word in found} - COMMON

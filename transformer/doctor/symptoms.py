"""From a sentence that someone would write to the faults that it may come from."""

import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache

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
CUES: dict[str, tuple[str, ...]] = {
    # What is seen, in the words that people use for it.
    "unrelated": (
        r"not about",
        r"nothing to do with",
        r"unrelated",
        r"irrelevant",
        r"ignor\w* the (source|"
        r"input|encoder)",
        r"(source|input|encoder) (is|seems?|gets?) ignored",
        r"does(n't| not) "
        r"(depend|look|attend|care)[^.]*(source|input|encoder)",
        r"not correspond",
        r"made.?up",
        r"hallucinat\w*",
        r"fluent",
        r"(little|no) relation",
        r"reads? well",
    ),
    "same for every input": (
        r"(same|identical|constant) (\w+ )?(output|translation|sentence|prediction|answer|result)",
        r"(every|any|all|each|whatever)[^.]*(input|source|sentence)[^.]*same",
        r"whatever (i|you|the)",
        r"no matter what (i|you|the) ",
        r"always (the same|answers|says)",
        r"same[^.]*(for|whatever)[^.]*(every|any|all|each|input|source)",
    ),
    "good by the loss, wrong alone": (
        r"(loss|accuracy|perplexity|training|evaluation|validation)[^.]*(low|zero|fine|good|great|"
        r"perfect|high|nearly|9\d|falls?|drops?|down)[^.]*(bleu|generat|translat|decod|inference|"
        r"output|writes?|alone|test)",
        r"(perplexity|loss)[^.]*(junk|nonsense|garbage|gibberish|rubbish)",
        r"(bleu|generat|translat|decod|inference)[^.]*(junk|nonsense|garbage|gibberish|rubbish|terrible|"
        r"wrong|zero|0|bad)[^.]*(loss|accuracy|training)",
    ),
    "too good at once": (
        r"9\d(,\d+)? ?%",
        r"(very|too|suspiciously) (high|good|low)",
        r"after (one|a few|two) (epoch|"
        r"update|step)",
        r"cheat\w*",
        r"in the first (epoch|step|update)",
        r"at the begin\w*",
    ),
    "copies what it reads": (
        r"cop(y|ies|ying)[^.]*(decoder|target|input)",
        r"repeats? (its|the) (own )?input",
    ),
    "depends on the batch": (
        r"batch\w*",
        r"one (at a time|by one)",
        r"alone",
        r"neighbou?rs?",
    ),
    "depends on padding": (
        r"(with|without|more|longer|different|changes?)[^.]*padding",
        r"padding[^.]*(chang|matter|"
        r"differ|moves?)",
        r"padd(ed|ing)[^.]*(worse|other|different|longer)",
    ),
    "another each time": (
        r"(different|another|not the same|other)[^.]*(each|every) (time|call|run)",
        r"random\w*",
        r"not (deterministic|reproducible|repeatable)",
        r"non-?deterministic",
        r"chang\w* every time",
        r"never the same",
        r"(each|every) time[^.]*(different|another|other)",
    ),
    "does not stop": (
        r"(never|not|n't|without)[^.]*(stop|end)\w*",
        r"(runs?|goes|writes?|keeps?)[^.]*(limit|until \d|"
        r"max\w*( length)?|on and on|for ?ever)",
        r"<?eos>?[^.]*(never|not)",
        r"endless\w*",
    ),
    "a plateau": (
        r"(stuck|plateau|stops?|stays?|hangs?|stagnat|stall)\w*",
        r"(never|not|n't)[^.]*(below|under|near "
        r"zero|lower)",
        r"flat\b",
    ),
    "a uniform guess": (r"\bln ?\|?v", r"log of[^.]*vocab", r"uniform guess", r"2,08\b"),
    "it jumps": (
        r"jump\w*",
        r"spik\w*",
        r"diverg\w*",
        r"explod\w*",
        r"bumpy",
        r"blows? up",
        r"\bnan\b",
        r"oscillat\w*",
        r"goes up",
    ),
    "only padding": (r"(only|all|nothing but|just)[^.]*<?pad(ding)?>?", r"<pad>"),
    "order does not matter": (
        r"(word )?order[^.]*(not|n't|no|ignor)\w*",
        r"backwards?",
        r"revers\w*[^.]*(same|nothing)",
        r"bag of words",
        r"shuffl\w*",
        r"(not|n't|ignor)\w*[^.]*order",
        r"permut\w*",
        r"man bites",
    ),
    "the first token": (
        r"(first|1st)[^.]*(token|word|letter|character)",
        r"begins? wrong",
        r"starts? (wrong|with)",
    ),
    "from the second token on": (
        r"second (token|word|letter)",
        r"(repeats?|again and again|over and over)",
        r"of of",
        r"\bcache\b",
        r"first (word|token|letter)[^.]*right",
    ),
    "weights stay": (
        r"(weights?|parameters?|encoder|embedding)[^.]*(not|never|n't|no)[^.]*(chang|mov|updat|train|"
        r"gradient|learn)",
        r"no gradient",
        r"grad\w*[^.]*(none|zero|missing)",
        r"what it was",
    ),
    "fewer parameters": (
        r"(fewer|less|few|too many|number of|count\w*)[^.]*(parameters|weights)",
        r"smaller than[^.]*(paper|expected)",
    ),
    "depth does not help": (
        r"(more|six|6|deep\w*|adding)[^.]*layers?",
        r"deeper",
        r"layers?[^.]*(no|not|n't)[^.]*help",
    ),
    "slower": (r"slow\w*", r"takes? (much )?longer", r"late\b"),
    "stays below others": (r"(below|behind|worse than|never reach\w*)", r"stays? far"),
    "one-hot attention": (
        r"one-?hot",
        r"attention[^.]*(sharp|saturat|peaked|single|one position)",
        r"(saturat|peaked)\w*[^.]*(softmax|attention)",
    ),
    "noisy attention": (r"attention[^.]*(noise|noisy|uniform|blurr\w*|flat)",),
    "sums": (r"sum\w* to", r"(rows?|weights)[^.]*(sum|add up)", r"not (to )?1\b"),
    "logits differ": (
        r"(differ|deviat|not equal|not match|other)\w*[^.]*(reference|paper|pytorch|"
        r"original|hugging|implementation)",
        r"(reference|pytorch)[^.]*differ",
    ),
    "loaded weights": (
        r"load\w*",
        r"pretrained",
        r"checkpoint",
        r"from elsewhere",
        r"weights from",
    ),
    "the scale of embeddings": (
        r"multipl\w*",
        r"sqrt\(?d",
        r"√d_model",
        r"scal\w*[^.]*embedding",
        r"embedding[^.]*scal",
    ),
    "warm-up": (r"warm.?up", r"schedule", r"noam"),
    "a large first loss": (
        r"(first|initial|start\w*)[^.]*loss[^.]*(huge|large|high|tens|hundreds|\d\d)",
        r"loss[^.]*(starts?|begins?)[^.]*(huge|large|high|tens|hundreds)",
        r"loss (is |of )?\d\d+[^.]*(step [01]\b|start|first|begin)",
    ),
    "harder tasks": (r"(hard|difficult|complex)\w*", r"only (easy|simple)"),
    "worse with time": (r"worse[^.]*longer", r"longer[^.]*worse", r"accumulat\w*", r"zero_grad"),
    "mode": (r"\beval\b", r"dropout", r"evaluation mode", r"inference mode"),
    "nonsense": (r"nonsense", r"garbage", r"gibberish", r"rubbish", r"terrible", r"meaningless"),
    "long inputs": (r"long(er)? (sentence|input|source|sequence)s?",),
}
"""What is seen -> expressions by which a sentence says so."""
SHOWS: dict[str, tuple[str, ...]] = {
    # By fault: what is seen of it, the most telling first.
    "no-causal-mask": ("good by the loss, wrong alone", "too good at once", "copies what it reads"),
    "causal-mask-off-by-one": ("good by the loss, wrong alone", "copies what it reads"),
    "causal-mask-inverted": ("good by the loss, wrong alone", "too good at once"),
    "no-source-padding-mask": ("depends on padding", "depends on the batch"),
    "padding-mask-inverted": ("same for every input", "a plateau", "unrelated"),
    "padding-mask-on-queries": ("depends on padding", "it jumps"),
    "no-cross-padding-mask": ("depends on padding", "depends on the batch"),
    "mask-value-too-weak": ("good by the loss, wrong alone",),
    "mask-after-softmax": ("sums", "good by the loss, wrong alone"),
    "softmax-over-queries": ("sums", "good by the loss, wrong alone"),
    "softmax-over-heads": ("noisy attention", "sums", "slower"),
    "unscaled-scores": ("one-hot attention", "slower"),
    "scores-scaled-by-d-model": ("noisy attention", "logits differ"),
    "scores-multiplied": ("one-hot attention", "a plateau"),
    "heads-merged-by-view": ("good by the loss, wrong alone",),
    "heads-split-by-view": ("good by the loss, wrong alone",),
    "output-projection-unused": ("weights stay",),
    "keys-values-swapped": ("loaded weights", "logits differ"),
    "batch-time-swapped": ("depends on the batch",),
    "no-positions": ("order does not matter",),
    "positions-wrong-formula": ("logits differ", "long inputs"),
    "unscaled-embeddings": ("the scale of embeddings", "logits differ"),
    "norm-after-embeddings": ("logits differ",),
    "output-softmaxed": ("a plateau",),
    "dropout-in-eval": ("another each time", "mode"),
    "no-residual": ("depth does not help", "a plateau"),
    "residual-after-norm": ("logits differ", "depth does not help"),
    "no-layer-norm": ("a large first loss", "it jumps"),
    "layer-norm-unbiased": ("logits differ",),
    "layer-norm-eps-outside": ("logits differ",),
    "layer-norm-over-positions": ("depends on padding", "good by the loss, wrong alone"),
    "cross-attention-reads-decoder": (
        "unrelated",
        "a uniform guess",
        "same for every input",
        "a plateau",
    ),
    "shared-layers": ("fewer parameters", "depth does not help"),
    "layers-reuse-input": ("depth does not help", "weights stay"),
    "no-activation": ("harder tasks", "depth does not help"),
    "memory-detached": ("weights stay", "stays below others", "unrelated"),
    "targets-not-shifted": ("copies what it reads", "too good at once", "from the second token on"),
    "targets-shifted-twice": ("the first token",),
    "eos-never-taught": ("does not stop",),
    "softmax-before-cross-entropy": ("a plateau",),
    "padding-in-loss": ("only padding",),
    "gradients-not-zeroed": ("worse with time", "it jumps"),
    "parameters-not-optimized": ("weights stay", "stays below others", "unrelated"),
    "learning-rate-too-high": ("it jumps", "a plateau"),
    "no-warmup": ("warm-up", "it jumps", "slower"),
    "wrong-start-token": ("the first token",),
    "decoding-position-zero": ("from the second token on",),
    "no-eval-mode": ("another each time", "mode"),
}
NEAR, CUE, LEAST = 0.6, 0.4, 0.15
"""What a known sentence of a fault counts, what a cue, and the least that makes a suspect."""
COMMON = frozenset([
    "a", "an", "and", "are", "as", "at", "be", "but", "by", "do", "does", "for", "from", "has",
    "have", "i", "in", "is", "it", "its", "me", "my", "no", "not", "of", "on", "only", "or",
    "so", "than", "that", "the", "their", "then", "there", "they", "this", "to", "too", "very",
    "was", "were", "what", "when", "with",
])  # fmt: skip


@dataclass(frozen=True)
class Suspect:
    """A fault that a symptom may come from, the known sentence that is nearest, and a test."""

    fault: Fault
    words: str
    test: str


def suspects(sentence: str) -> list[Suspect]:
    """The faults that a sentence speaks of, the likeliest first.

    What it says is seen (:data:`CUES`), and how many telling words it shares with the sentences
    that are known of a fault.
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
    said = re.sub(r"(\d)\.(\d)", r"\1,\2", said)  # a dot ends what belongs together
    return {cue for cue, forms in CUES.items() if any(re.search(form, said) for form in forms)}


def _alike(asked: set[str], known: set[str], rare: dict[str, float]) -> float:
    """The share of the telling words that two sentences have in common, 0 to 1."""
    both = sum(rare.get(word, 1.0) for word in asked & known)
    either = sum(rare.get(word, 1.0) for word in asked | known)
    return both / either if either else 0.0


@cache
def _rarity() -> dict[str, float]:
    """A word that few faults know tells more: -log of the share of faults that know it."""
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
    """Without the endings of the plural, of tenses and of adverbs: enough to compare."""
    for ending in ("ations", "ation", "ings", "ing", "ies", "ed", "es", "ly", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 4:
            return word[: -len(ending)]
    return word

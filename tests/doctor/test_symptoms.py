"""Sentences that users write about symptoms lead to the faults behind them."""

import pytest

from transformer.doctor.cues import CUES, SHOWS
from transformer.doctor.symptoms import TESTS, suspects
from transformer.faults import FAULTS

WRITTEN: dict[str, tuple[str, ...]] = {
    # A user's sentence -> faults, one of which must be among the first three.
    "Fluent, but not about the source.": ("cross-attention-reads-decoder",),
    "Decoding any sentence gives the same translation": ("cross-attention-reads-decoder",),
    "It generates nice sentences that are unrelated to the input": (
        "cross-attention-reads-decoder",
        "memory-detached",
    ),
    "98% accuracy after the first epoch, with a tiny model?! But translating produces garbage.": (
        "no-causal-mask",
        "causal-mask-inverted",
    ),
    "All the model does is copying the decoder input to its output": (
        "targets-not-shifted",
        "no-causal-mask",
    ),
    "loss goes down but BLEU stays at 0.0002": (
        "no-causal-mask",
        "causal-mask-inverted",
        "mask-value-too-weak",
        "heads-merged-by-view",
    ),
    "Inference outputs without batching do not match the outputs with batching": (
        "no-source-padding-mask",
        "batch-time-swapped",
    ),
    "If I append more padding to a sentence its logits change": (
        "no-source-padding-mask",
        "no-cross-padding-mask",
        "padding-mask-on-queries",
    ),
    "same input, but the output tokens change every time I call it": (
        "dropout-in-eval",
        "no-eval-mode",
    ),
    "it never seems to stop generating, always runs into max_length": ("eos-never-taught",),
    "Validation loss quickly gets stuck around 1.0 and never gets lower": (
        "softmax-before-cross-entropy",
        "output-softmaxed",
    ),
    "everything it predicts is [PAD] [PAD] [PAD]": ("padding-in-loss",),
    "'dog bites man' and 'man bites dog' are translated alike, word order is ignored": (
        "no-positions",
    ),
    "The first word of every output is wrong, the rest is fine": (
        "targets-shifted-twice",
        "wrong-start-token",
    ),
    "First word right, then it writes of of of of": ("decoding-position-zero",),
    "Six layers are no better than one": ("layers-reuse-input", "shared-layers", "no-residual"),
    "The weights of my encoder do not change during training": (
        "parameters-not-optimized",
        "memory-detached",
    ),
    "training explodes with spikes after a while": ("learning-rate-too-high", "no-warmup"),
    "Without Noam warmup the training does not work at all": ("no-warmup",),
    "attention is one-hot from the first step on": ("unscaled-scores", "scores-multiplied"),
    "My model has fewer parameters than the paper says": ("shared-layers",),
    "the loss gets worse the longer I train, as if gradients accumulate": ("gradients-not-zeroed",),
    "My translations read well but have little relation to the French sentence": (
        "cross-attention-reads-decoder",
    ),
    "Perplexity is 1.02 on validation, yet beam search output is junk": (
        "no-causal-mask",
        "causal-mask-inverted",
        "heads-merged-by-view",
        "causal-mask-off-by-one",
        "mask-value-too-weak",
    ),
    "Predictions for one sentence depend on which others are in the minibatch": (
        "batch-time-swapped",
        "no-source-padding-mask",
    ),
    "Generation goes on until 128 tokens no matter what": ("eos-never-taught",),
    "It stalls at 3.4, which is the log of my vocabulary size": ("cross-attention-reads-decoder",),
    "Reversing the source sentence changes nothing": ("no-positions",),
    "I get other results on each run of evaluate()": ("dropout-in-eval", "no-eval-mode"),
    "the encoder's gradients are None": ("memory-detached", "parameters-not-optimized"),
    "All outputs start with the wrong word": ("wrong-start-token", "targets-shifted-twice"),
    "The loss is NaN after 200 steps": (
        "padding-mask-on-queries",
        "learning-rate-too-high",
        "no-warmup",
        "no-layer-norm",
    ),
    "with kv cache the results differ from those without": ("decoding-position-zero",),
    "the loss is 60 at step 0": ("no-layer-norm",),
    "whatever I type in, it answers 'Ich bin ein Mann'": (
        "cross-attention-reads-decoder",
        "padding-mask-inverted",
    ),
}


@pytest.mark.parametrize("sentence", WRITTEN)
def test_what_people_write_leads_to_the_fault(sentence: str) -> None:
    found = [suspect.fault.name for suspect in suspects(sentence)[:3]]
    assert set(found) & set(WRITTEN[sentence]), found


def test_fluent_but_not_about_the_source_is_cross_attention_first() -> None:
    found = [suspect.fault.family for suspect in suspects("Fluent, but not about the source")]
    assert found[0] == "cross-attention"
    assert "causal mask" not in found[:5]


def test_every_fault_shows_in_something_that_a_sentence_can_say() -> None:
    assert FAULTS.keys() == SHOWS.keys()
    assert {cue for shown in SHOWS.values() for cue in shown} <= CUES.keys()


@pytest.mark.parametrize("name", FAULTS)
def test_a_faults_own_symptoms_lead_to_it(name: str) -> None:
    for sentence in FAULTS[name].symptoms:
        found = [suspect.fault.name for suspect in suspects(sentence)]
        same = [other.name for other in FAULTS.values() if sentence in other.symptoms]
        assert name in found[: max(5, len(same))], (sentence, found)


def test_every_family_has_a_test_of_ten_seconds() -> None:
    assert {fault.family for fault in FAULTS.values()} <= TESTS.keys()


def test_words_that_describe_no_fault_lead_nowhere() -> None:
    assert not suspects("My cat sat on the keyboard")

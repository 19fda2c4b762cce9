"""Forged checkpoints: every value in a file is validated."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkpoint_files import (
    DEEP,
    NORM,
    Change,
    a_hole,
    an_overlap,
    assert_refused,
    assert_same,
    changed,
    listed,
    more_bytes,
    one_less,
    one_more,
    one_number,
    raw_value,
    renamed,
    taken_apart,
    twice,
    twice_within,
    value,
    with_header,
    without,
)
from transformer.checkpoint import Checkpoint
from transformer.errors import CheckpointError


def test_the_builder_builds_sound_files(saved: Checkpoint, content: bytes) -> None:
    """If the builder made broken files, the tests below would prove nothing."""
    rebuilt = taken_apart(content).sealed().whole()
    assert_same(Checkpoint.load(rebuilt), saved)
    assert taken_apart(content).sealed().description["sha256"] == saved.header.sha256
    assert Checkpoint.load(changed(content, "notes", to="changed")).header.notes == "changed"


LONG = "x" * 5000
HOSTILE: dict[str, tuple[Change, str]] = {
    # the listing of the tensors
    "tensor twice": (twice, "not valid JSON"),
    "tensor missing": (one_less(NORM), f"'{NORM}' is missing"),
    "tensor too many": (one_more("backdoor"), "'backdoor' that this model lacks"),
    "tensor with a name of 5,000": (one_more(LONG), "that this model lacks"),
    "tensor with a name of two lines": (one_more("a\nb"), "that this model lacks"),
    "tensor renamed": (renamed(NORM, "decoder.norm.gain2"), f"'{NORM}' is missing"),
    "tensor of another shape": (listed(NORM, shape=[4, 2]), r"demands \[8\]"),
    "tensor larger than its bytes": (listed(NORM, shape=[9]), f"'{NORM}' needs 36 bytes"),
    "tensor with no dimensions": (listed(NORM, shape=[]), f"'{NORM}' needs 4 bytes"),
    "tensor of 1,000 dimensions": (listed(NORM, shape=[8] + [1] * 1000), NORM),
    "tensor of 10^5600 numbers": (listed(NORM, shape=[2**61] * 300), NORM),
    "shape (0, 10^18)": (listed(NORM, shape=[0, 10**18]), f"'{NORM}' needs 0 bytes"),
    "half precision": (listed(NORM, dtype="F16"), "'F16'; expected 'F32'"),
    "whole numbers": (listed(NORM, dtype="I64"), "'I64'; expected F32 or F16"),
    "eight bits": (listed(NORM, dtype="F8_E4M3"), "expected F32 or F16"),
    "unknown dtype": (listed(NORM, dtype=LONG), "expected F32 or F16"),
    "dtype of another kind": (listed(NORM, dtype=["F32"]), "expected F32 or F16"),
    "offsets that overlap": (an_overlap, "bytes from byte"),
    "offsets with a hole": (a_hole, "bytes from byte"),
    "offsets back to front": (listed(NORM, data_offsets=[64, 32]), "bytes from byte"),
    "offsets below zero": (listed(NORM, data_offsets=[-32, 0]), "not described as it must be"),
    "offsets with fractions": (listed(NORM, data_offsets=[0.0, 32.0]), "not described"),
    "offsets true and false": (listed(NORM, data_offsets=[False, True]), "not described"),
    "offsets of 4,000 digits": (listed(NORM, data_offsets=[0, 10**4000]), "not described"),
    "offsets beyond the file": (listed(NORM, data_offsets=[0, 2**61]), "bytes from byte"),
    "three offsets": (listed(NORM, data_offsets=[0, 32, 64]), "not described"),
    "offsets of another kind": (listed(NORM, data_offsets="ab"), "not described"),
    "shape below zero": (listed(NORM, shape=[-8]), "not described"),
    "shape with fractions": (listed(NORM, shape=[8.0]), "not described"),
    "shape true": (listed(NORM, shape=[True, 8]), "not described"),
    "entry with more keys": (listed(NORM, device="cuda"), "not described"),
    # the weights
    "not a number": (one_number(math.nan), f"'{NORM}' holds NaN or infinity"),
    "infinity": (one_number(math.inf), f"'{NORM}' holds NaN or infinity"),
    "minus infinity": (one_number(-math.inf), f"'{NORM}' holds NaN or infinity"),
    "bytes too many": (more_bytes, "4 bytes that belong to nothing"),
    # the description
    "format 2": (value("format", to=2), "format is '2'"),
    "format as text": (value("format", to="1"), "format"),
    "format of 5,000 letters": (value("format", to=LONG), "format"),
    "format missing": (without("format"), "format is 'None'"),
    "description twice": (twice_within, "not valid JSON"),
    # Valid for Python's JSON reader but not for safetensors, whose message must not be shown.
    "header in utf-16": (
        with_header(lambda header: header.decode().encode("utf-16")),
        "cannot be read|JSON",
    ),
    "metadata that is no text": (
        with_header(lambda h: h.replace(b'{"__metadata__": {', b'{"__metadata__": {"a": {}, ')),
        "cannot be read|metadata",
    ),
    "metadata of two lines": (
        with_header(lambda h: h.replace(b'{"__metadata__": {', b'{"__metadata__": {"a\\nb": 5, ')),
        "cannot be read|metadata",
    ),
    "no config": (without("config"), "TransformerConfig"),
    "config of another kind": (value("config", to=[]), "TransformerConfig must be an object"),
    "d_model of a billion": (value("config", "d_model", to=10**9), "d_model = 1000000000"),
    "d_model true": (value("config", "d_model", to=True), "d_model = True"),
    "d_model with fractions": (value("config", "d_model", to=8.0), r"d_model = 8\.0"),
    "d_model as text": (value("config", "d_model", to="8"), "d_model = '8'"),
    "d_model null": (value("config", "d_model", to=None), "d_model = None"),
    "d_model below zero": (value("config", "d_model", to=-8), "d_model = -8"),
    "d_model of 4,000 digits": (value("config", "d_model", to=10**4000), "more than 38 digits"),
    "d_model of 5,000 digits": (
        raw_value("config", "d_model", text="9" * 5000),
        "description is not valid JSON",
    ),
    "d_model other than the tensors": (value("config", "d_model", to=16), "demands"),
    "dropout of 400 digits": (value("config", "dropout", to=10**400), "dropout"),
    "dropout 1e999": (raw_value("config", "dropout", text="1e999"), "dropout|not valid JSON"),
    "heads that do not divide": (value("config", "num_heads", to=3), "num_heads = 3"),
    "too many parameters": (
        lambda content: changed(
            changed(changed(content, "config", "d_model", to=8192), "config", "d_ff", to=32768),
            "config",
            "num_encoder_layers",
            to=48,
        ),
        "parameters",
    ),
    "unknown activation": (value("config", "activation", to=LONG), "activation"),
    "unknown field": (value("config", "a\nb" + LONG, to=1), "no field"),
    "field missing": (without("config", "source_vocab_size"), "source_vocab_size"),
    "other special tokens": (value("config", "bos_id", to=5), "special tokens"),
    "vocabulary too small": (
        value("source_vocabulary", "tokens", to=list("abcde")),
        "source_vocab_size is 10, but the source vocabulary has 9",
    ),
    "vocabulary too large": (
        value("target_vocabulary", "tokens", to=list("abcdefg")),
        "target_vocab_size is 10, but the target vocabulary has 11",
    ),
    "token twice": (value("source_vocabulary", "tokens", to=list("abcdea")), "stands twice"),
    "token empty": (value("source_vocabulary", "tokens", to=["", *"bcdef"]), "1 to 1000"),
    "token a number": (value("source_vocabulary", "tokens", to=[1, *"bcdef"]), "1 to 1000"),
    "token of 5,000": (value("source_vocabulary", "tokens", to=[LONG, *"bcdef"]), "1 to 1000"),
    "half a character": (
        value("source_vocabulary", "tokens", to=["\ud800", *"bcdef"]),
        "surrogate|not valid JSON",
    ),
    "special token again": (
        value("source_vocabulary", to={"kind": "words", "tokens": ["<eos>", *"bcdef"]}),
        "special meaning",
    ),
    "tokens as one text": (value("source_vocabulary", "tokens", to="abcdef"), "must be lists"),
    "unknown kind of vocabulary": (value("source_vocabulary", "kind", to=LONG), "kind"),
    "kind on two lines": (value("source_vocabulary", "kind", to="a\nb"), "kind"),
    "vocabulary with a pipeline": (
        value("source_vocabulary", "regex", to="(a+)+$"),
        "kind, tokens",
    ),
    "merges that do not fit": (
        value(
            "source_vocabulary",
            to={"kind": "bpe", "tokens": list("abcdef"), "merges": [["a", "\n" + LONG]]},
        ),
        "merges",
    ),
    # These make the tokenizers library panic in Rust, which `except Exception` does not catch:
    # a trainer or a page would end without a message.
    "merges longer than any token": (
        value(
            "source_vocabulary",
            to={"kind": "bpe", "tokens": ["ab", *"bcdef"], "merges": [["ab", "ab"]]},
        ),
        "merges",
    ),
    "merges of surrogates": (
        value(
            "source_vocabulary",
            to={"kind": "bpe", "tokens": list("abcdef"), "merges": [["a", "\ud800"]]},
        ),
        "merges|not valid JSON",
    ),
    "task of another kind": (value("data", "task", to=5), "task = 5"),
    "no summary": (without("summary"), "'summary'"),
    "summary with text": (value("summary", "loss", to="low"), r"Summary\.loss"),
    "summary with NaN": (raw_value("summary", "loss", text="NaN"), "not valid JSON"),
    "summary with 1e999": (
        raw_value("summary", "loss", text="1e999"),
        "out of range|not valid JSON",
    ),
    "summary with 400 digits": (value("summary", "steps", to=10**400), r"Summary\.steps"),
    "summary with 400 digits, fraction": (value("summary", "loss", to=10**400), r"Summary\.loss"),
    "summary true": (value("summary", "steps", to=True), r"Summary\.steps"),
    "summary incomplete": (without("summary", "loss"), "loss"),
    "summary with more": (value("summary", "a\nb" + LONG, to=1), "description"),
    "training 1e999": (
        raw_value("summary", "training", "steps", text="1e999"),
        "training|not valid JSON",
    ),
    "training very deep": (value("summary", "training", "steps", to=DEEP), "description"),
    "no examples": (without("examples"), "'examples'"),
    "examples a number": (value("examples", to=5), "description"),
    "examples a text": (value("examples", to="abc"), "[Ee]xample"),
    "examples an object": (value("examples", to={}), "examples"),
    "examples of numbers": (value("examples", to=[1, 2]), "Example"),
    "example with a number": (value("examples", 0, "output", to=5), r"Example\.output"),
    "example incomplete": (value("examples", 0, to={"source": "a"}), "target"),
    "101 examples": (
        value("examples", to=[{"source": "a", "target": "a", "output": "a"}] * 101),
        "examples",
    ),
    "notes a number": (value("notes", to=5), "notes"),
    "checksum a number": (
        lambda content: replace(
            taken_apart(content), description=taken_apart(content).description | {"sha256": 5}
        ).whole(),
        "checksum",
    ),
    "probe of another kind": (value("probe", to=[]), "Probe"),
    "probe beyond the vocabulary": (value("probe", "source", to=[4, 10]), "probe has ids outside"),
    "probe below zero": (value("probe", "target", to=[-1]), "probe has ids outside"),
    "probe empty": (value("probe", "source", to=[]), "probe has ids outside"),
    "probe too long": (value("probe", "target", to=[4] * 17), "probe has ids outside"),
    "probe of texts": (value("probe", "source", to=["4"]), "probe has ids outside"),
    "probe of fractions": (value("probe", "source", to=[4.0]), "probe has ids outside"),
    "probe of 4,000 digits": (value("probe", "source", to=[10**4000]), "probe has ids outside"),
    "probe true": (value("probe", "source", to=[True, True]), "probe has ids outside"),
    "probe's logits a list": (value("probe", "logits", to=[1.0]), r"Probe\.logits"),
    "environment very deep": (value("probe", "environment", to=DEEP), "description|environment"),
}


@pytest.mark.parametrize("case", HOSTILE.values(), ids=HOSTILE)
def test_a_forged_file_is_refused(case: tuple[Change, str], content: bytes, tmp_path: Path) -> None:
    change, says = case
    assert_refused(change(content), tmp_path, says)


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("notes",), "better"),
        (("summary", "exact_match"), 1.0),
        (("summary", "training", "steps"), 4),
        (("examples", 0, "output"), "abc"),
        (("source_vocabulary", "tokens"), list("bacdef")),
        (("config", "activation"), "gelu"),
        (("data", "task"), "copy"),
        (("probe", "environment", "torch"), "0"),
    ],
)
def test_the_checksum_covers_the_description(
    content: bytes, path: tuple[str | int, ...], to: Any
) -> None:
    """A changed description with the old checksum is refused, so scores cannot be edited."""
    old = taken_apart(content).description["sha256"]
    forged = taken_apart(changed(content, *path, to=to))
    assert forged.description["sha256"] != old
    forged.description["sha256"] = old
    with pytest.raises(CheckpointError, match="checksum does not match"):
        Checkpoint.load(forged.whole())

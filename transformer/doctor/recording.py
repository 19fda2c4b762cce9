"""Reads and checks a capture file: nothing in it is trusted, and nothing is executed.

A file by :mod:`doctor.capture` holds what the user's model computed: its operations in order, each
with its operands and its result, and its logits for a few probes. A *code* says where a number
comes from: the event's number << SHIFT, plus the index in the event's flattened result.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer.checkpoint.header import header_bytes, parse_json
from transformer.checkpoint.layout import Entry, check_layout, parse_entry
from transformer.config.architecture import MAX_PARAMETERS
from transformer.errors import CheckpointError, reading
from transformer.vocabulary.vocabulary import visible

Array = NDArray[Any]

CAPTURE_KEY = "doctor-capture"
FORMAT = 1
SHIFT = 32
INDEX = (1 << SHIFT) - 1
MAX_EVENTS = 60_001
MAX_NUMBERS = 200_000_000
"""Most numbers in all operands and results together: more would take minutes."""
NUMBERS_A_BYTE, NUMBERS_FREE = 4, 4_000_000
"""A header may promise NUMBERS_FREE numbers and NUMBERS_A_BYTE more for each byte of the file: a
sound file really contains most of them."""
MAX_NUMEL = 1 << 28
MAX_TEXT = 300
PARTS = ("", "attention", "feed-forward", "positions", "encoder-layer", "decoder-layer", "encoder",
         "decoder")  # fmt: skip
"""Parts that can be captured alone, inside the paper's model; "" is a whole model."""
PROBES = ("main", "padded", "alone", "target", "source", "reversed", "flipped")
TYPES = {
    "F64": ("<f8", 8), "F32": ("<f4", 4), "F16": ("<f2", 2), "BF16": ("<u2", 2), "I64": ("<i8", 8),
    "I32": ("<i4", 4), "I16": ("<i2", 2), "I8": ("<i1", 1), "U8": ("<u1", 1), "BOOL": ("<u1", 1),
}  # fmt: skip
SIZES = {name: size for name, (_, size) in TYPES.items()}
OP = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")


@dataclass(frozen=True)
class Site:
    """A line of the user's code."""

    file: str
    line: int
    function: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Read:
    """How an operation reads a tensor: strides over one event's result, or an array of codes."""

    shape: tuple[int, ...]
    event: int = 0
    stride: tuple[int, ...] = ()
    offset: int = 0
    array: str = ""


@dataclass(frozen=True)
class Event:
    """One operation.

    op: its name in PyTorch; "leaf" for a tensor that no operation made, which has a name.
    shape: of its result. sides: contains "s" if it depends on the source, "t" on the target.
    """

    number: int
    op: str
    reads: tuple[Read, ...]
    shape: tuple[int, ...]
    site: int
    sides: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    name: str = ""

    @property
    def numel(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True)
class Pair:
    """A probe: ids [batch, source], [batch, target], and logits [batch, target, vocabulary]."""

    source: Array
    target: Array
    logits: Array


def damaged(what: str) -> CheckpointError:
    """The error that refuses a capture; ``what`` says in a few words what is wrong."""
    return CheckpointError(
        f"This capture is damaged or forged: {what}. Make it again with capture.py."
    )


def require(sound: bool, what: str) -> None:
    """Refuse the capture unless ``sound``; ``what`` says in a few words what is wrong."""
    if not sound:
        raise damaged(what)


class Recording:
    """The content of a capture file.

    about: its description: model, called, layout, pad_id, repeats, created, torch, ...
    """

    def __init__(self, source: Path | bytes) -> None:
        """
        Raises:
            CheckpointError: the file is not a capture, or is damaged; one sentence.
        """
        raw, size = header_bytes(source)
        listing = parse_json(raw, "The capture's header")
        metadata = listing.pop("__metadata__", None)
        if not isinstance(metadata, dict) or not isinstance(metadata.get(CAPTURE_KEY), str):
            raise CheckpointError(
                "This file is not a capture: make one with capture.py, which the Debug page gives."
            )
        self._entries = {n: parse_entry(n, value, SIZES) for n, value in listing.items()}
        check_layout(self._entries, size - 8 - len(raw), SIZES)
        self._content = source if isinstance(source, bytes) else _whole(source, size)
        self._start = 8 + len(raw)
        self.about = parse_json(metadata[CAPTURE_KEY], "The capture's description")
        if self.about.get("format") != FORMAT:
            raise CheckpointError(
                f"The capture's format is {str(self.about.get('format'))[:20]!r}; this version "
                f"reads {FORMAT}. Take capture.py from the Debug page again."
            )
        self.sites = [site_of(plain) for plain in _list(self.about, "sites", 60_000)]
        plain_events = _list(self.about, "events", MAX_EVENTS)
        self.events: list[Event] = []
        self._total, self._size = 0, size
        for number, plain in enumerate(plain_events):
            self.events.append(self._event(number, plain))
        self._values: dict[int, Array] = {}
        self._codes: dict[Read, Array] = {}
        self.parameters = [self._parameter(p) for p in _list(self.about, "parameters", 20_000)]
        self._check_plain()
        self.probes = self._probes()
        self.logits = self._logits()

    # --- queries

    @property
    def pad_id(self) -> int:
        return int(self.about["pad_id"])

    @property
    def repeats(self) -> bool:
        return bool(self.about["repeats"])

    def site(self, number: int) -> Site | None:
        """The line of an event."""
        place = self.events[number].site
        return self.sites[place] if place >= 0 else None

    def has_value(self, number: int) -> bool:
        return f"v{number}" in self._entries

    def value(self, number: int) -> Array:
        """An event's result, as float64 if it is floating-point.

        Raises:
            CheckpointError: the file lacks it, or has it in another shape than it says.
        """
        if number not in self._values:
            event = self.events[number]
            entry = self._entries.get(f"v{number}")
            if entry is None or math.prod(entry.shape) != event.numel:
                raise damaged(f"operation {number} has no result of its shape")
            self._values[number] = self._tensor(entry).reshape(event.shape)
        return self._values[number]

    def codes(self, read: Read) -> Array:
        """Where each number that an operation reads comes from: int64, of the read's shape."""
        if read not in self._codes:
            if read.array:
                found = self._tensor(self._entries[f"a.{read.array}"])
            else:
                found = np.full(read.shape, (read.event << SHIFT) + read.offset, dtype=np.int64)
                for axis, (length, stride) in enumerate(zip(read.shape, read.stride, strict=True)):
                    steps = np.arange(length, dtype=np.int64) * stride
                    found += steps.reshape(-1, *(1,) * (len(read.shape) - axis - 1))
            self._codes[read] = found
        return self._codes[read]

    def at(self, codes: Array) -> Array:
        """The numbers that these codes refer to, as float64."""
        flat = codes.reshape(-1)
        events = flat >> SHIFT
        found = np.zeros(flat.shape)
        for number in np.unique(events).tolist():
            if number:
                chosen = events == number
                found[chosen] = self.value(number).reshape(-1)[flat[chosen] & INDEX]
        return found.reshape(codes.shape)

    @cached_property
    def sides(self) -> "Sides":
        return Sides(self)

    # --- reading and checking

    def _tensor(self, entry: Entry) -> Array:
        kind, _ = TYPES[entry.dtype]
        start, end = self._start + entry.start, self._start + entry.end
        flat = np.frombuffer(memoryview(self._content)[start:end], dtype=kind)
        if entry.dtype == "BF16":
            flat = (flat.astype("<u4") << 16).view("<f4")
        if entry.dtype in ("F64", "F32", "F16", "BF16"):
            flat = flat.astype(np.float64)
        return flat.reshape(entry.shape)

    def _event(self, number: int, plain: Any) -> Event:
        what = f"operation {number}"
        said = f"{what} is not described as it must be"
        require(isinstance(plain, dict) and isinstance(plain.get("op"), str), said)
        op, site, sides = plain["op"], plain.get("at"), plain.get("from")
        shape = _sizes(plain.get("out"), what)
        reads, name = plain.get("in"), plain.get("name", "")
        args, kwargs = plain.get("args", []), plain.get("kwargs", {})
        require(OP.fullmatch(op) is not None and sides in ("", "s", "t", "st"), said)
        require(type(site) is int and -1 <= site < len(self.sites), said)
        require(isinstance(reads, list) and len(reads) <= 256, said)
        require(isinstance(args, list) and isinstance(kwargs, dict) and isinstance(name, str), said)
        self._count(math.prod(shape))
        made = tuple(self._read(number, read) for read in reads)
        return Event(number, op, made, shape, site, sides, tuple(args), kwargs, shown(name))

    def _read(self, number: int, plain: Any) -> Read:
        what = f"what operation {number} reads"
        require(isinstance(plain, dict), f"{what} is not described as it must be")
        shape = _sizes(plain.get("shape"), what)
        self._count(math.prod(shape))
        if "array" in plain:
            name = plain["array"]
            entry = self._entries.get(f"a.{name}") if isinstance(name, str) else None
            if entry is None or entry.dtype != "I64" or entry.shape != shape:
                raise damaged(f"{what} is not in the file")
            self._check_codes(self._tensor(entry), number, what)
            return Read(shape, array=name)
        event, offset, stride = plain.get("e"), plain.get("offset"), plain.get("stride")
        before = type(event) is int and 0 <= event < number
        require(before, f"{what} comes from no operation before it")
        described = isinstance(stride, list) and len(stride) == len(shape)
        require(described, f"{what} is not described as it must be")
        places = (offset, *stride)
        inside = all(type(place) is int and 0 <= place < MAX_NUMEL for place in places)
        require(inside, f"{what} lies outside")
        last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True))
        inside = not math.prod(shape) or last < self.events[event].numel
        require(inside, f"{what} lies outside")
        return Read(shape, event, tuple(stride), offset)

    def _count(self, numbers: int) -> None:
        """Count promised numbers and refuse too many, before memory is allocated for them."""
        self._total += numbers
        if self._total > NUMBERS_A_BYTE * self._size + NUMBERS_FREE:
            raise damaged("its header promises many more numbers than it holds")
        if self._total > MAX_NUMBERS:
            raise CheckpointError(
                "The captured model is too large: its operations work on more than "
                f"{MAX_NUMBERS:,} numbers. Build it with fewer layers; two of each kind are enough."
            )

    def _check_codes(self, codes: Array, number: int, what: str) -> None:
        events, places = codes.reshape(-1) >> SHIFT, codes.reshape(-1) & INDEX
        if not len(events):
            return
        if events.min() < 0 or events.max() >= number:
            raise damaged(f"{what} comes from no operation before it")
        for event in np.unique(events).tolist():
            if event and places[events == event].max() >= self.events[event].numel:
                raise damaged(f"{what} lies outside")

    def _parameter(self, plain: Any) -> dict[str, Any]:
        said = "a parameter is not described as it must be"
        require(isinstance(plain, dict) and isinstance(plain.get("name"), str), said)
        event = plain.get("event")
        require(type(event) is int and 0 <= event < len(self.events), said)
        require(plain.get("gradient") in ("yes", "zero", "no", ""), said)
        shape = _sizes(plain.get("shape"), "a parameter")
        name = shown(plain["name"])
        return {"name": name, "event": event, "gradient": plain["gradient"], "shape": shape}

    def _check_plain(self) -> None:
        about = self.about
        texts = ("created", "torch", "python", "model", "called", "layout")
        for name in texts:
            require(isinstance(about.get(name), str), f"it does not say {name!r}")
            about[name] = shown(about[name])
        require(about.setdefault("part", "") in PARTS, "it is of no part that is known")
        pad_id = about.get("pad_id")
        require(type(pad_id) is int and 0 <= pad_id < 1 << 20, "its padding id is malformed")
        described = type(about.get("repeats")) is bool and isinstance(about.get("failed"), dict)
        require(described, "its probes are not described as they must be")
        about["failed"] = {shown(str(k)): shown(str(v)) for k, v in about["failed"].items()}

    def _probes(self) -> dict[str, Pair]:
        found = {}
        for name in PROBES:
            parts = [self._entries.get(f"probe.{name}.{x}") for x in ("source", "target", "logits")]
            if any(part is None for part in parts):
                continue
            source, target, logits = (self._tensor(part) for part in parts if part is not None)
            sound = source.ndim == target.ndim == 2 and logits.ndim == 3
            sound = sound and source.dtype == target.dtype == np.int64
            sound = sound and logits.dtype == np.float64
            sound = sound and 0 not in (source.size, target.size, logits.size)
            if not sound or len(source) != len(target) or logits.shape[:1] != target.shape[:1]:
                raise damaged(f"the probe {name!r} has wrong shapes")
            if not 0 <= target.shape[1] - logits.shape[1] <= 1 or max(logits.shape) > 1 << 20:
                raise damaged(f"the probe {name!r} has wrong shapes")
            if min(source.min(), target.min()) < 0 or max(source.max(), target.max()) >= 1 << 20:
                raise damaged(f"the probe {name!r} has ids that no vocabulary has")
            found[name] = Pair(source, target, logits)
        require("main" in found, "it has no probe")
        return found

    def _logits(self) -> Array:
        entry = self._entries.get("a.logits")
        if entry is None or entry.dtype != "I64" or entry.shape != self.probes["main"].logits.shape:
            raise damaged("it does not say where the logits come from")
        codes = self._tensor(entry)
        self._check_codes(codes, len(self.events), "the logits")
        total = sum(math.prod(p["shape"]) for p in self.parameters)
        if total > MAX_PARAMETERS:
            raise CheckpointError(
                f"The model has {total:,} parameters; at most {MAX_PARAMETERS:,} are allowed."
            )
        return codes


class Sides:
    """Which ids an operand depends on: "s" (source), "t" (target), both or none."""

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._found: dict[Read, str] = {}

    def __call__(self, read: Read) -> str:
        if read not in self._found:
            events = [read.event]
            if read.array:
                events = np.unique(self._recording.codes(read) >> SHIFT).tolist()
            sides = {side for e in events for side in self._recording.events[e].sides}
            self._found[read] = "".join(sorted(sides))
        return self._found[read]


def _whole(path: Path, size: int) -> bytes:
    with reading(path), path.open("rb") as file:
        content = file.read(size + 1)
    if len(content) != size:
        raise CheckpointError("The file was changed while it was read.")
    return content


def _list(plain: Mapping[str, Any], name: str, most: int) -> list[Any]:
    found = plain.get(name)
    if not isinstance(found, list) or len(found) > most:
        raise damaged(f"its list of {name} is missing or too long")
    return found


def _sizes(plain: Any, what: str) -> tuple[int, ...]:
    require(isinstance(plain, list) and len(plain) <= 8, f"{what} has no shape")
    require(all(type(n) is int and 0 <= n < MAX_NUMEL for n in plain), f"{what} has no shape")
    require(math.prod(plain) < MAX_NUMEL, f"{what} is too large")
    return tuple(plain)


def shown(text: str) -> str:
    """Text from a capture, made safe and short enough for a page."""
    return visible(text[:MAX_TEXT])


def site_of(plain: Any) -> Site:
    """A line of code as a capture describes it.

    Raises:
        CheckpointError: the description is malformed.
    """
    said = "a place in your code is not described as it must be"
    require(isinstance(plain, dict) and type(plain.get("line")) is int, said)
    texts = [plain.get(name) for name in ("file", "in", "text")]
    require(all(isinstance(text, str) for text in texts) and 0 <= plain["line"] < 10**7, said)
    file, function, text = (shown(str(text)) for text in texts)
    return Site(file, plain["line"], function, text)

"""Watch one model of yours at work, and write down what it computes: numbers and JSON only.

One file, to be copied beside your code. It needs Python and torch (1.13 or newer) alone:

    python capture.py my_model.py:build mine.safetensors

``build()`` in ``my_model.py`` returns your nn.Module. If the file also has
``call(model, source, target)``, which takes ids [batch, source] and [batch, target] and returns
logits [batch, target, vocabulary], that is how your model is called; else it is found out. In a
notebook: ``capture(model, "mine.safetensors")``.

What stands beside ``build()`` under these names is looked at too:

    loss(model, source, target_in, target_out, pad_id)          -> the loss of a batch, one number
    optimizer(model)                                            -> a torch.optim.Optimizer
    greedy(model, source, bos_id, eos_id, max_length)           -> the ids written for source [1, n]

Your model runs in evaluation mode, on a few random ids, in 64 bits, and is afterwards as it was.
The file holds its weights, each operation with its result, and the line of your code that asked
for it. Nothing else is read, and nothing else is written.
"""

# ruff: noqa: B905, UP017 (zip has no "strict" before Python 3.10, datetime no UTC before 3.11)

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib.util
import inspect
import json
import linecache
import os
import struct
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

FORMAT = 1
KEY = "doctor-capture"
SHIFT = 32  # where a number comes from: event << SHIFT | index in that event's result
SIZES = ((3, 11, 7), (3, 5, 4), (3, 6, 6))  # batch, source, target
"""Tried in this order. Sizes differ to tell axes apart; equal ones are for models that need it."""
MOST_EVENTS = 60_000
COPIES = ("clone", "cat", "stack", "repeat", "flip", "roll", "_to_copy", "constant_pad_nd")
"""Operations that copy or rearrange numbers and compute nothing."""
HERE = os.path.abspath(__file__)
TORCH = os.path.dirname(os.path.abspath(torch.__file__))
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


class CaptureError(Exception):
    """The model could not be recorded; the message says why and what to do."""


# --- Recording operations -------------------------------------------------------------------------


def _storage(tensor: Tensor) -> Any:
    return tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()


def _key(tensor: Tensor) -> Any:
    """A tensor's storage and element size, which tells complex numbers from their view as reals."""
    return _storage(tensor).data_ptr() or id(_storage(tensor)), tensor.element_size()


class _Memory:
    """One storage: the event whose result it holds or, once it mixes several, each number's."""

    def __init__(self, event: int, numel: int, tensor: Tensor, dense: bool) -> None:
        self.event, self.numel, self.keep, self.dense = event, numel, tensor, dense
        self.codes: Any = None
        self.sides: Any = None

    def shadow(self) -> Tensor:
        """Where each number of the storage comes from, as an int64 tensor of the same length."""
        if self.codes is None:
            self.codes = torch.arange(self.numel, dtype=torch.int64)
            self.codes += self.event << SHIFT
        codes: Tensor = self.codes
        return codes


class Recorder(TorchDispatchMode):
    """Records every operation below autograd, in order: inputs, result, and line of your code."""

    def __init__(self, named: Any) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.events: list[dict[str, Any]] = [
            {"op": "none", "in": [], "out": [0], "at": -1, "from": ""}
        ]
        self.values: dict[Any, Any] = {}
        self.sites: list[dict[str, Any]] = []
        self.out: Any = None
        self.arrays: dict[Any, Any] = {}
        self._memory: dict[Any, Any] = {}
        self._site_ids: dict[Any, Any] = {}
        self._named: dict[Any, Any] = {}
        for name, tensor in named:
            self._named.setdefault(_key(tensor), name)

    # Where numbers come from.

    def leaf(self, tensor: Tensor, name: str) -> _Memory:
        """Record a tensor that no operation made: a weight, a constant, or the ids."""
        count = _storage(tensor).nbytes() // tensor.element_size()
        flat = torch.as_strided(tensor.detach(), (count,), (1,), 0)
        side = {"source": "s", "target": "t"}.get(name, "")
        event = self._event("leaf", [], [count], -1, side, name=name, shape=list(tensor.shape))
        self.values[event] = flat.clone()
        self._memory[_key(tensor)] = _Memory(event, count, tensor, True)
        return self._memory[_key(tensor)]

    def _of(self, tensor: Tensor) -> _Memory:
        found = self._memory.get(_key(tensor))
        if found is None:
            place, _ = _key(tensor)
            others = [self._memory.get((place, size)) for size in (1, 2, 4, 8, 16)]
            sides = "".join(self._side(other) for other in others if other is not None)
            found = self.leaf(tensor, self._named.get(_key(tensor), "constant"))
            found.sides = self.events[found.event]["from"] = "".join(sorted(set(sides)))
        return found

    def _read(self, tensor: Tensor) -> dict[str, Any]:
        """How an operation reads a tensor: as strides over one result, or number by number."""
        memory = self._of(tensor)
        shape = list(tensor.shape)
        if memory.codes is None:
            place = {"e": memory.event, "shape": shape, "stride": list(tensor.stride())}
            return {**place, "offset": tensor.storage_offset()}
        codes = self._codes(tensor).contiguous()
        name = f"p{len(self.arrays)}"
        self.arrays[name] = codes
        return {"array": name, "shape": shape}

    def _codes(self, tensor: Tensor) -> Tensor:
        codes = self._of(tensor).shadow()
        return torch.as_strided(codes, tensor.shape, tensor.stride(), tensor.storage_offset())

    def _side(self, memory: _Memory) -> str:
        """Which ids a storage depends on: "s" (source), "t" (target), both or none."""
        return str(self.events[memory.event]["from"] if memory.sides is None else memory.sides)

    def _sides(self, tensors: Any) -> str:
        found = set()
        for tensor in tensors:
            memory = self._of(tensor)
            found |= set(self._side(memory))
        return "".join(sorted(found))

    # Recording events.

    def _event(self, op: str, reads: Any, out: Any, site: Any, sides: Any, **more: Any) -> int:
        if len(self.events) > MOST_EVENTS:
            raise CaptureError(
                f"The model makes more than {MOST_EVENTS:,} operations in one call. Build it with "
                "fewer layers for the doctor: two of each kind are enough."
            )
        record = {"op": op, "in": reads, "out": out, "at": site, "from": sides}
        self.events.append({**record, **more})
        return len(self.events) - 1

    def _site(self) -> int:
        frame: Any = sys._getframe(2)
        while frame is not None:
            name = frame.f_code.co_filename
            full = os.path.abspath(name)
            if full != HERE and not full.startswith(TORCH):
                place = (name, frame.f_lineno)
                if place not in self._site_ids:
                    self._site_ids[place] = len(self.sites)
                    line = linecache.getline(name, frame.f_lineno).strip()
                    where = frame.f_code.co_name
                    site = {"file": os.path.basename(name)[:100], "line": frame.f_lineno}
                    self.sites.append({**site, "in": where[:100], "text": line[:200]})
                return self._site_ids[place]
            frame = frame.f_back
        return -1

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        op = func._schema.name.split("::")[-1]
        if op == "detach" or op == "lift_fresh" or op == "alias":
            return func(*args, **kwargs)
        inputs = [x for x in _flat([args, kwargs]) if isinstance(x, torch.Tensor)]
        changes = op.endswith("_") and not op.endswith("__")
        reads = site = sides = None
        if changes or not inputs or not _is_view(func):
            site, sides = self._site(), self._sides(inputs)
            if op not in COPIES and op != "copy_":
                reads = [self._read(x) for x in inputs]
        outs = func(*args, **kwargs)
        results = [x for x in _flat([outs]) if isinstance(x, torch.Tensor)]
        if reads is None and site is None:
            return outs
        if op == "copy_":
            self._written(args[0], self._codes(args[1]).expand(args[0].shape), sides)
        elif op in COPIES:
            self._copied(op, func, args, kwargs, results[0], sides)
        elif changes:
            event = self._result(op, reads, args, kwargs, site, sides, args[0], 0)
            codes = torch.arange(args[0].numel()).reshape(args[0].shape) + (event << SHIFT)
            self._written(args[0], codes, sides)
        else:
            for number, result in enumerate(results):
                held = self._memory.get(_key(result))
                if held is not None and any(_key(x) == _key(result) for x in inputs):
                    continue  # a view
                event = self._result(op, reads, args, kwargs, site, sides, result, number)
                self._store(event, result, sides)
        return outs

    def _result(
        self,
        op: str,
        reads: Any,
        args: Any,
        kwargs: Any,
        site: Any,
        sides: Any,
        result: Tensor,
        number: int,
    ) -> int:
        name = op if number == 0 else f"{op}.{number}"
        event = self._event(
            name, reads, list(result.shape), site, sides, args=_plain(args), kwargs=_named(kwargs)
        )
        if result.dtype in DTYPES:
            self.values[event] = result.detach().clone(memory_format=torch.contiguous_format)
        return event

    def _store(self, event: int, result: Tensor, sides: Any) -> None:
        count = _storage(result).nbytes() // max(1, result.element_size())
        memory = self._memory[_key(result)] = _Memory(event, count, result, True)
        memory.sides = sides
        if not result.is_contiguous() or count != result.numel():
            memory.codes = torch.zeros(count, dtype=torch.int64)
            codes = torch.arange(result.numel()).reshape(result.shape) + (event << SHIFT)
            self._codes(result).copy_(codes)

    def _written(self, tensor: Tensor, codes: Tensor, sides: Any) -> None:
        memory = self._of(tensor)
        memory.shadow()
        self._codes(tensor).copy_(codes)
        before = self._side(memory)
        memory.sides = "".join(sorted(set(before) | set(sides)))

    def _copied(
        self, op: str, func: Any, args: Any, kwargs: Any, result: Tensor, sides: Any
    ) -> None:
        if op in ("clone", "_to_copy"):
            codes = self._codes(args[0])
        else:
            codes = func(*_mapped(args, self._codes), **kwargs)
        count = _storage(result).nbytes() // max(1, result.element_size())
        memory = self._memory[_key(result)] = _Memory(0, count, result, True)
        memory.codes, memory.sides = torch.zeros(count, dtype=torch.int64), sides
        self._codes(result).copy_(codes)


def _is_view(func: Any) -> bool:
    return any(x.alias_info is not None and not x.alias_info.is_write for x in func._schema.returns)


def _flat(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, (list, tuple)):
            yield from _flat(value)
        elif isinstance(value, dict):
            yield from _flat(value.values())
        else:
            yield value


def _mapped(value: Any, function: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, (list, tuple)):
        return [_mapped(x, function) for x in value]
    return value


def _plain(value: Any) -> Any:
    """Arguments as JSON; a tensor is None."""
    if isinstance(value, (list, tuple)):
        return [_plain(x) for x in value][:32]
    if isinstance(value, float) and not (value == value and abs(value) < 1e300):
        return str(value)
    return value if isinstance(value, (int, float, str, bool)) else None


def _named(kwargs: Any) -> dict[str, Any]:
    plain = {str(k): _plain(v) for k, v in kwargs.items()}
    return {k: v for k, v in plain.items() if v is not None}


# --- Running the model ----------------------------------------------------------------------------


def _tensors_of(model: nn.Module) -> Iterator[Any]:
    """Every tensor of a model, plain attributes included: (dictionary, name, tensor)."""
    for module in model.modules():
        for holder in (module._parameters, module._buffers, vars(module)):
            for name, value in list(holder.items()):
                if isinstance(value, torch.Tensor):
                    yield holder, name, value


@contextlib.contextmanager
def _prepared(model: nn.Module) -> Iterator[None]:
    """Set the model to evaluation mode, 64 bits, the CPU, no fused kernels; then restore it."""
    modes = [(module, module.training) for module in model.modules()]
    kept, default = [], torch.get_default_dtype()
    made = {}
    for holder, name, tensor in _tensors_of(model):
        if isinstance(tensor, nn.Parameter):
            if id(tensor) not in made:
                made[id(tensor)] = True
                kept.append((tensor, None, tensor.data, tensor.grad))
                tensor.grad = None
                if tensor.is_floating_point():
                    tensor.data = tensor.data.to("cpu", torch.float64)
        else:
            kept.append((holder, name, tensor, None))
            moved = tensor.detach().to("cpu")
            holder[name] = moved.double() if moved.is_floating_point() else moved
    switches = []
    for name in ("flash", "mem_efficient"):
        read = getattr(torch.backends.cuda, f"{name}_sdp_enabled", None)
        if read is not None:
            write = getattr(torch.backends.cuda, f"enable_{name}_sdp")
            switches.append((write, read()))
            write(False)
    fast = getattr(torch.backends, "mha", None)
    if fast is not None:
        switches.append((fast.set_fastpath_enabled, fast.get_fastpath_enabled()))
        fast.set_fastpath_enabled(False)
    torch.set_default_dtype(torch.float64)
    model.eval()
    try:
        yield
    finally:
        torch.set_default_dtype(default)
        for write, value in switches:
            write(value)
        for holder, name, tensor, grad in kept:
            if name is None:
                holder.data, holder.grad = tensor, grad
            else:
                holder[name] = tensor
        for module, mode in modes:
            module.training = mode


def _dropping(model: nn.Module) -> list[Any]:
    """The dropout probabilities in a model: (module, attribute, probability)."""
    found = []
    for module in model.modules():
        for name, value in vars(module).items():
            drops = name == "p" or "drop" in name.lower()
            if drops and isinstance(value, float) and 0 < value < 1:
                found.append((module, name, value))
    return found


@contextlib.contextmanager
def _without_dropout(model: nn.Module) -> Iterator[None]:
    """Switch off all dropout, even what ignores evaluation mode; then restore it."""
    kept = _dropping(model)
    for module, name, _ in kept:
        vars(module)[name] = 0.0
    before = nn.functional.dropout

    def identity(input: Any, *args: Any, **kwargs: Any) -> Any:
        return input

    nn.functional.dropout = identity
    try:
        yield
    finally:
        nn.functional.dropout = before
        for module, name, value in kept:
            vars(module)[name] = value


def _masks(form: str, source: Tensor, target: Tensor, pad_id: Any) -> Any:
    """Masks of one convention: source, target, source padding, target padding.

    form: "allowed" (True may be attended to), "hidden" (True may not) or "added" (to the scores: 0
    or -inf), then the number of axes.
    """
    length = target.shape[1]
    low = torch.ones(length, length, dtype=torch.bool).tril()
    seen_s, seen_t = source != pad_id, target != pad_id
    axes = int(form[-1])
    if axes == 4:
        made: Any = seen_s[:, None, None], seen_t[:, None, None] & low
    elif axes == 3:
        made = seen_s[:, None], seen_t[:, None] & low
    else:
        made = torch.ones(source.shape[1], source.shape[1], dtype=torch.bool), low
    made = (*made, seen_s, seen_t)
    if form.startswith("hidden"):
        made = tuple(~x for x in made)
    if form.startswith("added"):
        made = tuple(torch.zeros(x.shape).masked_fill(~x, float("-inf")) for x in made)
    return made


FORMS = ("allowed4", "hidden4", "allowed3", "hidden3", "hidden2", "added2", "allowed2")


def _role(name: str, ids_before: int) -> str:
    """The role of an argument, guessed from its name and the number of id arguments before it."""
    low = name.lower()
    target = any(x in low for x in ("tgt", "trg", "target", "dec", "look", "future", "causal"))
    if "mask" in low or "pad" in low:
        if any(x in low for x in ("memory", "cross", "enc_dec", "dec_enc")):
            return "pad source" if "pad" in low else "mask source"
        return ("pad " if "pad" in low else "mask ") + ("target" if target else "source")
    if "len" in low:
        return "length target" if target else "length source"
    if "train" in low:
        return "false"
    if any(x in low for x in ("memory", "enc_out", "encoder_out", "enc_states")):
        return "memory"
    if target:
        return "target"
    return "source" if ids_before == 0 else "target"


def _arguments(function: Any, values: Any, optional: bool) -> dict[str, Any]:
    """Argument name -> value, for a call of ``function``; masks with a default if ``optional``.

    Raises:
        CaptureError: there is nothing known to give for an argument.
    """
    given, count = [], 0
    parameters = inspect.signature(function).parameters
    asked = [n for n, p in parameters.items() if p.default is p.empty]
    missing = {"source", "target"} - {_role(n, place) for place, n in enumerate(asked)}
    for name, parameter in parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        role = _role(name, count)
        needed = parameter.default is parameter.empty
        wanted = optional and role.split()[0] in ("mask", "pad")
        if role in missing and role in values:  # forward(input_ids=None, ...)
            wanted = wanted or not any(x in name.lower() for x in ("embed", "label"))
        if not needed and not wanted:
            continue
        missing.discard(role)
        count += role in ("source", "target")
        if role not in values:
            raise CaptureError(f"no value is known for its argument {name!r}")
        given.append((name, values[role]))
    return dict(given)


def _call_candidates(model: nn.Module, pad_id: Any) -> Iterator[Any]:
    """Ways of calling the model, likelier ones first: (description, function)."""

    def values(form: str, source: Tensor, target: Tensor) -> Any:
        made = dict(zip(("mask source", "mask target", "pad source", "pad target"),
                        _masks(form, source, target, pad_id)))  # fmt: skip
        made.update(source=source, target=target, false=False)
        made["length source"] = (source != pad_id).sum(1)
        made["length target"] = (target != pad_id).sum(1)
        return made

    def whole(form: str, optional: bool, first: str) -> Any:
        def call(source: Tensor, target: Tensor) -> Any:
            if first == "time":
                made = values(form, source, target)
                made.update(source=source.T, target=target.T)
            else:
                made = values(form, source, target)
            given = _arguments(_signed(model).forward, made, optional)
            return model(**given) if _takes_names(model) else model(*given.values())

        return call

    def halves(form: str) -> Any:
        def call(source: Tensor, target: Tensor) -> Any:
            made = values(form, source, target)
            encode: Any = model.encode
            decode: Any = model.decode
            made["memory"] = encode(**_arguments(model.encode, made, False))
            if isinstance(made["memory"], tuple):
                made["memory"] = made["memory"][0]
            return decode(**_arguments(model.decode, made, False))

        return call

    if isinstance(model, _ModelAroundPart):
        around = model

        def shaped(form: str) -> Any:
            def call(source: Tensor, target: Tensor) -> Any:
                around.form = form
                return around(source, target)

            return call

        for form in FORMS if model.masked else FORMS[:1]:
            yield f"the {model.part} alone, masks {form}", shaped(form)
        return
    if type(model).forward is not nn.Module.forward:
        masked = _takes_masks(model)
        for first in ("batch", "time"):
            yield f"ids, {first} first", whole(FORMS[0], False, first)
            if masked:
                for form in FORMS:
                    yield f"ids and masks ({form}), {first} first", whole(form, True, first)
        return
    if hasattr(model, "encode") and hasattr(model, "decode"):
        for form in FORMS:
            yield f"encode and decode, masks {form}", halves(form)


def _kinds(model: nn.Module) -> set[Any]:
    return {p.kind for p in inspect.signature(model.forward).parameters.values()}


def _signed(model: nn.Module) -> nn.Module:
    """The module whose ``forward`` names its arguments: the model, or the one that it wraps."""
    several = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    for _ in range(4):
        inside = list(model.children())
        if len(inside) != 1 or not _kinds(model) <= several:
            break
        model = inside[0]
    return model


def _takes_names(model: nn.Module) -> bool:
    """Whether arguments may be given by name: not to a wrapper's ``forward(*inputs)``."""
    return _kinds(model) != {inspect.Parameter.VAR_POSITIONAL}


def _takes_masks(model: nn.Module) -> bool:
    roles = [_role(n, 0) for n in inspect.signature(_signed(model).forward).parameters]
    return any(role.split()[0] in ("mask", "pad") for role in roles)


HEADS = ("generator", "project", "projection", "projection_layer", "output_projection", "fc_out")


def _noting(used: list[int]) -> Any:
    def hook(*_: Any) -> None:
        used.append(1)

    return hook


def _with_head(model: nn.Module, call: Any) -> Any:
    """An output layer that ``call`` may leave out: (module, handle of its hook, list of its calls).

    None if the model has no module under a name of HEADS.
    """
    for name in HEADS:
        head = getattr(model, name, None)
        if not callable(head):
            continue
        if isinstance(head, nn.Module):
            used: list[int] = []
            return head, head.register_forward_hook(_noting(used)), used
    return None


def _logits(out: Any, batch: int, length: int) -> tuple[Tensor, str]:
    """The logits [batch, target, vocabulary] in a model's output, and their layout there."""
    found = []
    if hasattr(out, "logits"):
        found = [out.logits]
    else:
        found = [x for x in _flat([out]) if isinstance(x, torch.Tensor)]
    for tensor in found:
        if not tensor.is_floating_point() or tensor.dim() < 2:
            continue
        size, rows = tensor.shape[-1], tensor.numel() // max(1, tensor.shape[-1])
        for count, said in ((length, ""), (length - 1, "the last target id is dropped inside; ")):
            if rows != batch * count or count < 1:
                continue
            if tensor.dim() == 3 and tuple(tensor.shape[:2]) == (count, batch):
                return tensor.transpose(0, 1), said + "time first"
            if tensor.dim() == 3 and tuple(tensor.shape[:2]) == (batch, count):
                return tensor, said + "batch first"
            if tensor.dim() == 2:
                return tensor.reshape(batch, count, size), said + "flattened"
    shapes = ", ".join(str(tuple(x.shape)) for x in found[:4]) or type(out).__name__
    raise CaptureError(
        f"it returned {shapes}, where logits [{batch}, {length}, vocabulary] were expected"
    )


class _Caller:
    """Calls the model; its arguments are found once, by trying, and are the same for all probes."""

    def __init__(self, model: nn.Module, pad_id: Any, call: Any, ids: Any) -> None:
        self.model, self.pad_id, self.layout = model, pad_id, ""
        self.call: Any
        self.head: Any
        if call is not None:
            self.said, self.call = "call(model, source, target)", lambda s, t: call(model, s, t)
            self.head = None
            return
        problems, best = [], None
        for said, candidate in _call_candidates(model, pad_id):
            self.call, self.head = candidate, None
            try:
                self._find_head(ids)
                score = self._judged(ids)
            except Exception as error:
                problems.append(f"{said}: {type(error).__name__}: {error}"[:200])
                continue
            if best is None or score > best[0]:
                best = (score, said, candidate, self.head)
            if score == (2, 2) or (said.startswith("ids,") and not _takes_masks(model)):
                break
        if best is None:
            listing = "\n  ".join(dict.fromkeys(problems)) or "it has no forward"
            raise CaptureError(
                "No way of calling the model was found. Put a function call(model, source, "
                "target) beside build(): it takes ids [batch, source] and [batch, target] and "
                f"returns logits [batch, target, vocabulary]. Tried:\n  {listing}"
            )
        _, self.said, self.call, self.head = best

    def _find_head(self, ids: Any) -> None:
        found = _with_head(self.model, self.call)
        if found is None:
            return
        head, handle, used = found
        try:
            with torch.no_grad():
                out = self.call(*ids["main"])
        finally:
            handle.remove()
        if not used and isinstance(out, torch.Tensor):
            self.head = head

    def _judged(self, ids: Any) -> tuple[int, int]:
        """Two scores, each 2 if a mask works and else 0: the causal mask, the padding mask."""
        with torch.no_grad():
            main, changed = self(*ids["main"]), self(*ids["target"])
            alone, padded = self(*ids["alone"]), self(*ids["padded"])
        place = CHANGED
        causal = 2 if (main[:, :place] - changed[:, :place]).abs().max() < 1e-8 else 0
        length = alone.shape[1]
        padding = 2 if (alone[0] - padded[1, :length]).abs().max() < 1e-8 else 0
        return causal, padding

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        out = self.call(source, target)
        if self.head is not None:
            out = self.head(out)
        logits, self.layout = _logits(out, *target.shape)
        return logits


CHANGED = 3
"""The first target position that the probe "target" changes."""


def _ids(limit: int, pad_id: Any, bos_id: int, sizes: Any) -> dict[str, Any]:
    """The probes: pairs of source and target ids, each with one change from the pair "main"."""
    batch, long, short = sizes
    generator = torch.Generator().manual_seed(20171)
    words = [i for i in range(limit) if i != pad_id and (i > 3 or limit < 10)]

    def draw(*shape: Any) -> Any:
        chosen = torch.randint(len(words), shape, generator=generator)
        return torch.tensor(words)[chosen]

    source, target = draw(batch, long), draw(batch, short)
    target[:, 0] = bos_id
    second = short - (2 if long == short else 1)
    padded_s, padded_t = source.clone(), target.clone()
    for row, (a, b) in enumerate(((long, short), (long - 2, second), (long // 2, short // 2))):
        padded_s[row, a:], padded_t[row, b:] = pad_id, pad_id
    other_s, other_t = source.clone(), target.clone()
    step = torch.tensor([words[(words.index(int(x)) + 1) % len(words)] for x in source[:, -1]])
    other_s[:, -1] = step
    # The sentence in the middle gets other neighbours, not the same ones in another order: order
    # makes no difference to attention across the batch.
    flipped = source.flip(0)
    for row in range(batch):
        if row != batch // 2:
            flipped[row] = flipped[row].flip(0)
    place = min(CHANGED, short - 1)
    for row in range(batch):
        for at in range(place, short):
            other_t[row, at] = words[(words.index(int(target[row, at])) + 1) % len(words)]
    return {
        "main": (source, target),
        "padded": (padded_s, padded_t),
        "alone": (padded_s[1:2, : long - 2], padded_t[1:2, :second]),
        "target": (source, other_t),
        "source": (other_s, target),
        "reversed": (source.flip(1), target),
        "flipped": (flipped, target),
    }


def _pad_id(model: nn.Module) -> int:
    for module in model.modules():
        for name, value in vars(module).items():
            if "pad" in name.lower() and type(value) is int and 0 <= value < 1000:
                return value
    return 0


def _gradients(model: nn.Module, caller: Any, ids: Any) -> dict[str, str]:
    """Which parameters a gradient of the logits reaches: "yes", "zero" or "no"."""
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    with torch.enable_grad():
        logits = caller(*ids)
        if not logits.requires_grad or not named:
            return {}
        weights = torch.rand(logits.shape, generator=torch.Generator().manual_seed(7))
        finite = torch.nan_to_num(logits * weights)
        found = torch.autograd.grad(finite.sum(), [p for _, p in named], allow_unused=True)
    said = {}
    for (name, _), gradient in zip(named, found):
        if gradient is None:
            said[name] = "no"
        else:
            said[name] = "yes" if bool((gradient != 0).any()) else "zero"
    return said


# --- A part alone ---------------------------------------------------------------------------------

PARTS = ("attention", "feed-forward", "positions", "encoder-layer", "decoder-layer", "encoder",
         "decoder")  # fmt: skip
MASKED = ("attention", "encoder-layer", "decoder-layer", "encoder", "decoder")
TOKENS = (23, 29)


def _first_like(out: Any, like: Tensor) -> Tensor:
    """The tensor [batch, position, width] in a part's output; ``like`` has the first two sizes."""
    for tensor in _flat([out]):
        fits = isinstance(tensor, torch.Tensor) and tensor.is_floating_point()
        if fits and tensor.dim() == 3 and tensor.shape[:2] == like.shape[:2]:
            found: Tensor = tensor
            return found
    raise CaptureError(f"it returned no tensor of shape {tuple(like.shape)}")


class _Attend(nn.Module):
    """The paper's multi-head attention, for the places where your part is not used."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.maps = nn.ModuleList(nn.Linear(width, width) for _ in range(4))
        self.heads = next(h for h in (4, 3, 2, 1) if width % h == 0)

    def forward(self, x: Tensor, y: Tensor, seen: Tensor) -> Tensor:
        q, k, v = (
            linear(z).view(z.shape[0], z.shape[1], self.heads, -1).transpose(1, 2)
            for linear, z in zip(self.maps, (x, y, y))
        )
        scores = q @ k.transpose(2, 3) / q.shape[-1] ** 0.5
        mixed = scores.masked_fill(~seen, -1e9).softmax(-1) @ v
        out: Tensor = self.maps[3](mixed.transpose(1, 2).reshape(x.shape))
        return out


class _Network(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a, self.z = nn.Linear(width, 2 * width + 4), nn.Linear(2 * width + 4, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.z(torch.relu(self.a(x)))
        return out


class _Layer(nn.Module):
    def __init__(self, width: int, cross: bool) -> None:
        super().__init__()
        self.attend, self.network = _Attend(width), _Network(width)
        self.cross = _Attend(width) if cross else None
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3 if cross else 2))


class _ModelAroundPart(nn.Module):
    """The paper's model, one layer in each stack, around your part.

    theirs: copies of the part, one for each place. form: the convention of its masks, of FORMS.
    """

    def __init__(self, part: str, theirs: Any, width: int) -> None:
        super().__init__()
        self.part, self.width, self.form = part, width, FORMS[0]
        self.adds: Any = None
        self.theirs = nn.ModuleList(theirs)
        self.tables = nn.ModuleList(nn.Embedding(size, width) for size in TOKENS)
        self.encoder, self.decoder = _Layer(width, False), _Layer(width, True)
        self.out = nn.Linear(width, TOKENS[1])
        signature = inspect.signature(self.theirs[0].forward)
        self.names = [n for n, p in signature.parameters.items() if p.kind < p.VAR_POSITIONAL]
        self.plain = [n for n in self.names if not _is_mask(n)]
        needed = {n for n, p in signature.parameters.items() if p.default is p.empty}
        self.plain = [n for place, n in enumerate(self.plain) if place == 0 or n in needed]
        self.masked = any(map(_is_mask, self.names))
        self.alone = part == "attention" and len(self.plain) < 2

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        part, pad = self.part, 0
        masks = _masks(self.form, source, target, pad)
        seen = (source != pad)[:, None, None]
        low = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).tril()
        x, y = self.enter(source, 0), self.enter(target, 1)
        if part == "encoder":
            x = self.called(0, [x], [source], masks[0], masks[2])
        elif part == "encoder-layer":
            x = self.called(0, [x], [], masks[0], masks[2])
        else:
            x = self.layer(self.encoder, 0, x, seen, masks)
        if part in ("decoder", "decoder-layer"):
            ids = [target] if part == "decoder" else []
            y = self.called(0, [y, x], ids, masks[1], masks[3], masks[0], masks[2])
        else:
            y = self.layer(self.decoder, 1, y, low, masks, x, seen)
        if y.shape[-1] != self.width:
            return y  # a decoder that gives logits
        logits: Tensor = self.out(y)
        return logits

    def enter(self, ids: Tensor, side: int) -> Tensor:
        x: Tensor = self.tables[side](ids) * self.width**0.5
        if self.part == "positions":
            if self.adds is None:
                self.adds = self._adds()
            out = self.theirs[0](x)
            out = out[0] if isinstance(out, tuple) else out
            if out.shape == x.shape and self.adds:
                return out
            out = out.reshape(-1, self.width)[: x.shape[1]]
            return x + out
        rate = 10000.0 ** (-torch.arange(0, self.width, 2) / self.width)
        place = torch.arange(x.shape[1])[:, None] * rate
        table = torch.stack([place.sin(), place.cos()], -1).flatten(1)[:, : self.width]
        return x + table

    def _adds(self) -> bool:
        """Whether the part itself adds positions to its input: then its output depends on it."""
        zeros = torch.zeros(1, 2, self.width)
        one, two = (self.theirs[0](x) for x in (zeros, zeros + 1))
        return not torch.equal(*(x[0] if isinstance(x, tuple) else x for x in (one, two)))

    def layer(self, layer: Any, place: int, x: Tensor, seen: Tensor, masks: Any,
              memory: Any = None, look: Any = None) -> Tensor:  # fmt: skip
        own = self.part == "attention" and (place == 0 or not self.alone)
        if own:
            added = self.called(place, [x, x, x], [], masks[place], masks[2 + place])
        else:
            added = layer.attend(x, x, seen)
        x = layer.norms[0](x + added)
        if layer.cross is not None:
            if own:
                added = self.called(2, [x, memory, memory], [], masks[0], masks[2])
            else:
                added = layer.cross(x, memory, look)
            x = layer.norms[1](x + added)
        wide = self.theirs[place] if self.part == "feed-forward" else layer.network
        return layer.norms[-1](x + wide(x))

    def called(self, number: int, vectors: Any, ids: Any, mask: Any, pad: Any, *cross: Any) -> Any:
        """Call your part, with vectors in the order of its arguments, and masks by their names."""
        given, left = {}, list(vectors)
        if ids and self.takes_ids:
            left[0] = ids[0]
        for name in self.names:
            if _is_mask(name):
                low = name.lower()
                other = any(x in low for x in ("src", "source", "mem", "cross", "enc"))
                chosen = cross if cross and other else (mask, pad)
                given[name] = chosen[1] if "pad" in low else chosen[0]
            elif name in self.plain and left:
                given[name] = left.pop(0)
        out = self.theirs[number](**given)
        return _first_like(out, vectors[0])

    @property
    def takes_ids(self) -> bool:
        return any(isinstance(m, nn.Embedding) and m.num_embeddings != 512
                   for m in self.theirs[0].modules())  # fmt: skip


def _is_mask(name: str) -> bool:
    return "mask" in name.lower() or "pad" in name.lower()


def _widths(module: nn.Module) -> list[int]:
    """Candidates for d_model, likelier ones first: sizes in tensors and integer attributes."""
    counted: dict[int, int] = {}
    for _, _, tensor in _tensors_of(module):
        for size in set(tensor.shape):
            counted[size] = counted.get(size, 0) + 1
    for one in module.modules():
        for value in vars(one).values():
            if type(value) is int:
                counted.setdefault(value, 0)
    sizes = [size for size in counted if 2 <= size <= 4096]
    return sorted(sizes, key=lambda size: (-counted[size], size))[:12]


def _model_around(module: nn.Module, part: str, width: Any) -> _ModelAroundPart:
    """The paper's model around a part, with the first width with which the part can be called."""
    problem: Any = None
    for size in [width] if width else _widths(module):
        copies = [module]
        for _ in range(2):
            copies.append(copy.deepcopy(module))
            with torch.no_grad():
                for p in copies[-1].parameters():
                    p.add_(0.1 * p.abs().mean() * torch.randn_like(p))
        try:
            around = _ModelAroundPart(part, copies, size).eval()
            ids = torch.randint(4, TOKENS[0], (2, 5)), torch.randint(4, TOKENS[0], (2, 4))
            for form in FORMS:
                around.form = form
                try:
                    with torch.no_grad():
                        around(*ids)
                    return around
                except Exception as error:
                    problem = problem or error
        except Exception as error:
            problem = problem or error
    said = "" if problem is None else f" ({type(problem).__name__}: {problem})"[:300]
    raise CaptureError(
        f"The {part} could not be called. It should take vectors [batch, position, d_model], and "
        f"masks by names such as mask, src_mask; give d_model with --width.{said}"
    )


# --- Loss, optimizer and decoding -----------------------------------------------------------------

LOSSES = ("main", "padded", "target")
"""The probes on which the loss is computed; only the second has padding."""
LONGEST = 8
"""Maximum length that is passed to your ``greedy``."""
STARTS = 5
"""The ids below this are tried as start tokens that ``greedy`` may use by mistake."""


def _asked(target: Tensor, eos_id: int, pad_id: int) -> Tensor:
    """The targets of a decoder that reads these ids: each next token, and the end token last."""
    asked = torch.full_like(target, pad_id)
    asked[:, :-1] = target[:, 1:]
    for row, count in enumerate((target != pad_id).sum(1).tolist()):
        asked[row, count - 1] = eos_id
    return asked


def _line_of(function: Any) -> Any:
    """The line where your function begins, as a site."""
    function = getattr(function, "func", function)  # of functools.partial
    code = getattr(function, "__code__", None)
    if code is None:
        return {"file": "", "line": 0, "in": "", "text": ""}
    text = linecache.getline(code.co_filename, code.co_firstlineno).strip()
    file, line = os.path.basename(code.co_filename)[:100], code.co_firstlineno
    return {"file": file, "line": line, "in": code.co_name[:100], "text": text[:200]}


def _end_id(pad_id: int, bos_id: int) -> int:
    return next(i for i in (2, 3, 1, 0) if i not in (pad_id, bos_id))


def _lost(model: nn.Module, loss: Any, probes: Any, layout: str, eos_id: int, pad_id: int) -> Any:
    """The values of your loss on the probes LOSSES: [[probe, number], ...]."""
    found = []
    for name in LOSSES:
        source, target = (x.clone() for x in probes[name])
        asked = target[:, 1:] if "dropped" in layout else _asked(target, eos_id, pad_id)
        value = loss(model, source, target, asked.clone(), pad_id)
        value = float(torch.as_tensor(value[0] if isinstance(value, tuple) else value).detach())
        if not abs(value) < 1e30:
            raise CaptureError(f"loss() gave {value} for a batch")
        found.append([name, value])
    return found


def _optimized(model: nn.Module, optimizer: Any, value: Any) -> dict[str, Any]:
    """Kind and rates of your optimizer; parameters that it lacks, or that 3 updates do not move."""
    named = dict(model.named_parameters())
    kept = {name: p.detach().clone() for name, p in named.items()}
    other = [(b, b.detach().clone()) for b in model.buffers()]
    made = optimizer(model)
    if isinstance(made, (tuple, list)):
        made = next((x for x in made if hasattr(x, "param_groups")), made)
    if not hasattr(made, "param_groups"):
        kind = type(made).__name__
        raise CaptureError(f"optimizer() returned {kind}, not a torch.optim.Optimizer")
    groups = made.param_groups
    given = {id(p) for group in groups for p in group["params"]}
    rates = sorted({float(group.get("lr") or 0.0) for group in groups})[:8]
    try:
        for _ in range(3):
            model.zero_grad()
            with torch.enable_grad():
                value().backward()
            sizes = {n: float(p.grad.abs().max()) for n, p in named.items() if p.grad is not None}
            made.step()
        reached = [n for n, size in sizes.items() if size > 1e-6 * max(sizes.values())]
        still = [n for n in reached if torch.equal(kept[n], named[n].detach())]
    finally:
        with torch.no_grad():
            for name, p in named.items():
                p.copy_(kept[name])
                p.grad = None
            for buffer, before in other:
                buffer.copy_(before)
    missing = [n for n, p in named.items() if id(p) not in given and p.requires_grad]
    still = [name for name in still if name not in missing]
    return {"kind": type(made).__name__[:100], "rates": rates, "missing": missing, "still": still}


def _stepwise(caller: Any, source: Tensor, start: int, length: int) -> list[int]:
    """Greedy decoding without a cache: every step reads the whole prefix."""
    written = torch.tensor([[start]])
    more = 1 if "dropped" in caller.layout else 0
    for _ in range(length):
        read = torch.cat([written, written[:, :1]], 1) if more else written
        with torch.no_grad():
            logits = caller(source, read)[0, -1]
        written = torch.cat([written, logits.argmax().reshape(1, 1)], 1)
    return list(written[0, 1:].tolist())


def _written(out: Any) -> list[int]:
    """The ids in what ``greedy`` returned for one sentence."""
    if isinstance(out, tuple):
        out = out[0]
    if isinstance(out, torch.Tensor):
        out = out.reshape(-1).tolist()
    flat = list(_flat([x.tolist() if isinstance(x, torch.Tensor) else x for x in out]))
    if len(flat) > 1000 or not all(type(x) is int and 0 <= x < 2**31 for x in flat):
        raise CaptureError("greedy() did not return the ids of one sentence")
    return flat


def _generated(
    model: nn.Module, greedy: Any, caller: Any, sources: Any, bos_id: int, pad_id: int
) -> Any:
    """The ids from your ``greedy``, and those that the model predicts from several start tokens."""
    rows, training = [], []
    size = caller(sources[:1], torch.tensor([[bos_id, bos_id]])).shape[-1]
    starts = [bos_id, *(i for i in range(min(STARTS, size)) if i != bos_id)]
    hooks = [
        module.register_forward_pre_hook(lambda m, _: training.append(m.training))
        for module in model.modules()
    ]
    try:
        for source in sources.split(1):
            steps: Any = [[start, _stepwise(caller, source, start, LONGEST)] for start in starts]
            own = steps[0][1]
            # As end token take one that it writes later on, to see whether it stops there.
            later = [token for place, token in enumerate(own) if place > 1 and token not in own[:2]]
            eos_id = later[0] if later else _end_id(pad_id, bos_id)
            del training[:]
            model.train()
            try:
                wrote = _written(greedy(model, source.clone(), bos_id, eos_id, LONGEST))
            finally:
                model.eval()
            rows.append({"eos": eos_id, "wrote": wrote, "steps": steps, "train": any(training)})
    finally:
        for hook in hooks:
            hook.remove()
    return {"bos": bos_id, "rows": rows}


def _run_practice(
    model: nn.Module, given: Any, caller: Any, ids: Any, bos_id: int, pad_id: int, failed: Any
) -> dict[str, Any]:
    """What your loss, optimizer and decoding do with this model; ``failed`` gets their errors."""
    found: dict[str, Any] = {}
    eos_id = _end_id(pad_id, bos_id)
    source, target = ids["padded"]

    def value() -> Tensor:
        if "loss" in found:
            one = given["loss"](model, source, target, _asked(target, eos_id, pad_id), pad_id)
            return torch.as_tensor(one[0] if isinstance(one, tuple) else one)
        logits: Tensor = caller(*ids["main"])
        chosen: Tensor = ids["main"][1][:, -logits.shape[1] :, None]
        return -logits.log_softmax(-1).gather(-1, chosen).mean()

    work: Any = {
        "loss": lambda f: {"values": _lost(model, f, ids, caller.layout, eos_id, pad_id),
                           "eos": eos_id},
        "optimizer": lambda f: _optimized(model, f, value),
        "greedy": lambda f: _generated(model, f, caller, ids["main"][0], bos_id, pad_id),
    }  # fmt: skip
    for name, look in work.items():
        if given.get(name) is None:
            continue
        try:
            found[name] = {**look(given[name]), "at": _line_of(given[name])}
        except Exception as error:
            said = error if isinstance(error, CaptureError) else f"{type(error).__name__}: {error}"
            failed[name] = str(said)[:300]
    return found


def capture(
    model: nn.Module, path: Any = None, *, call: Any = None, pad_id: Any = None, bos_id: int = 1,
    loss: Any = None, optimizer: Any = None, greedy: Any = None, part: str = "", width: Any = None,
) -> Any:  # fmt: skip
    """Run and record ``model``; write the file ``path``, or return its bytes if that is None.

    Args:
        call: takes (model, source ids, target ids) and returns logits; by default usual
            signatures are tried.
        pad_id: the padding id; by default an attribute of the model with "pad" in its name, or 0.
        loss, optimizer, greedy: functions as at the top of this file, to be checked too.
        part: one of PARTS, if ``model`` is only that part; the rest is then the paper's.
        width: d_model of the part; by default found by trying.

    Raises:
        CaptureError: the model cannot be called, or returns no logits; the message says more.
    """
    if not isinstance(model, nn.Module):
        raise CaptureError(f"build() returned {type(model).__name__}, where an nn.Module must be.")
    if part:
        if part not in PARTS:
            raise CaptureError(f"There is no part {part!r}; it is one of {', '.join(PARTS)}.")
        model, pad_id = _model_around(model, part, width), 0
    pad_id = _pad_id(model) if pad_id is None else pad_id
    tables = [m.num_embeddings for m in model.modules() if isinstance(m, nn.Embedding)]
    limit = max(6, min([n for n in tables if n >= 6] or [8]))
    given = {"loss": loss, "optimizer": optimizer, "greedy": greedy}
    state = torch.get_rng_state()
    try:
        with _prepared(model):
            return _watched(model, path, call, pad_id, bos_id, limit, given)
    finally:
        torch.set_rng_state(state)


def _watched(model: nn.Module, path: Any, call: Any, pad_id: Any, bos_id: int, limit: int,
             given: Any) -> Any:  # fmt: skip
    problem: Any = None
    bos_id = bos_id if bos_id != pad_id else pad_id + 1
    for sizes in SIZES:
        ids = _ids(limit, pad_id, bos_id, sizes)
        try:
            with _without_dropout(model):
                caller = _Caller(model, pad_id, call, ids)
                with torch.no_grad():
                    caller(*ids["main"])
            break
        except CaptureError as error:
            problem = problem or error
        except Exception as error:
            problem = problem or CaptureError(f"The model failed: {type(error).__name__}: {error}")
    else:
        raise problem
    with torch.no_grad():  # dropout as in evaluation mode: do two calls give the same?
        torch.manual_seed(1)
        first = caller(*ids["main"])
        torch.manual_seed(2)
        second = caller(*ids["main"])
    tensors, failed = {}, {}
    with _without_dropout(model):
        part, theirs = "", model
        if isinstance(model, _ModelAroundPart):
            part, theirs = model.part, model.theirs[0]
        for name, pair in ids.items():
            if part in MASKED and not model.masked and name in ("padded", "alone"):
                continue  # the part takes no mask
            try:
                with torch.no_grad():
                    tensors[f"probe.{name}.logits"] = caller(*pair).detach().clone()
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"[:300]
                continue
            tensors[f"probe.{name}.source"], tensors[f"probe.{name}.target"] = pair
        try:
            gradients = _gradients(model, caller, ids["main"])
        except Exception as error:
            gradients, failed["gradients"] = {}, f"{type(error).__name__}: {error}"[:300]
        recorder = _recorded(model, caller, ids["main"])
    layout = caller.layout
    drops = bool(_dropping(model))
    with _without_dropout(model):
        practice = _run_practice(model, given, caller, ids, bos_id, pad_id, failed)
    if "greedy" in practice:
        practice["greedy"]["drops"] = drops
    parameters: list[dict[str, Any]] = [
        {"name": n, "shape": list(p.shape), "gradient": gradients.get(n, "")}
        for n, p in model.named_parameters()
    ]
    used = {e["name"]: i for i, e in enumerate(recorder.events) if e["op"] == "leaf"}
    for entry in parameters:
        entry["event"] = used.get(f"parameter:{entry['name']}", 0)
    about = {
        "format": FORMAT,
        "created": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "torch": torch.__version__,
        "python": sys.version.split()[0],
        "model": type(theirs).__name__[:100],
        "called": caller.said,
        "part": part,
        "layout": layout,
        "pad_id": pad_id,
        "repeats": bool(torch.equal(torch.nan_to_num(first), torch.nan_to_num(second))),
        "failed": failed,
        "practice": practice,
        "parameters": parameters,
        "sites": recorder.sites,
        "events": recorder.events,
    }
    _collect(recorder, tensors)
    content = _file(about, tensors)
    if path is None:
        return content
    partial = Path(f"{path}.part")
    partial.write_bytes(content)
    os.replace(partial, path)
    return content


def _recorded(model: nn.Module, caller: Any, pair: Any) -> Recorder:
    named: list[Any] = [(f"parameter:{n}", p) for n, p in model.named_parameters()]
    named += [(f"buffer:{n}", b) for n, b in model.named_buffers()]
    recorder = Recorder(named)
    source, target = pair[0].clone(), pair[1].clone()
    recorder.leaf(source, "source")
    recorder.leaf(target, "target")
    with torch.enable_grad(), recorder:
        recorder.out = caller.call(source, target)
        if caller.head is not None:
            recorder.out = caller.head(recorder.out)
    logits, _ = _logits(recorder.out, *target.shape)
    recorder.arrays["logits"] = recorder._codes(logits.detach()).contiguous()
    return recorder


def _collect(recorder: Recorder, tensors: Any) -> None:
    """Choose the values to save: of events that depend on the ids, and of what those read."""
    wanted: set[int] = set()
    for number in reversed(range(len(recorder.events))):
        event = recorder.events[number]
        if not event["from"] and number in wanted:
            leaves = [read["e"] for read in event["in"] if "e" in read]
            wanted.update(e for e in leaves if recorder.events[e]["op"] == "leaf")
        if event["from"]:
            wanted.add(number)
            wanted.update(read["e"] for read in event["in"] if "e" in read)
            for read in event["in"]:
                if "array" in read:
                    codes = recorder.arrays[read["array"]]
                    wanted.update((codes >> SHIFT).unique().tolist())
    for number in sorted(wanted):
        value = recorder.values.get(number)
        if value is None:
            continue
        if value.dtype == torch.float64 and torch.equal(value.float().double(), value):
            value = value.float()
        tensors[f"v{number}"] = value
        recorder.events[number]["value"] = True
    used = {r["array"] for e in recorder.events if e["from"] for r in e["in"] if "array" in r}
    for name in used | {"logits"}:
        tensors[f"a.{name}"] = recorder.arrays[name]
    for event in recorder.events:
        if not event["from"]:
            event["in"] = [read for read in event["in"] if "e" in read]


# --- The file -------------------------------------------------------------------------------------


def _file(about: Any, tensors: Any) -> bytes:
    """A .safetensors file: a JSON header, then the tensors' bytes, one after the other."""
    header: dict[str, Any] = {"__metadata__": {KEY: json.dumps(about, allow_nan=False)}}
    parts, place = [], 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        content = _bytes(tensor)
        entry = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape)}
        header[name] = {**entry, "data_offsets": [place, place + len(content)]}
        parts.append(content)
        place += len(content)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(parts)


def _bytes(tensor: Tensor) -> bytes:
    if tensor.numel() == 0:
        return b""
    flat = tensor.reshape(-1)
    with contextlib.suppress(Exception):
        return flat.view(torch.uint8).numpy().tobytes()
    return bytes(flat.view(torch.uint8).tolist())


# --- The command ----------------------------------------------------------------------------------


def load(place: str) -> Any:
    """Import ``my_model.py:build``, under a module name that no other has: (module, build)."""
    file, _, name = place.rpartition(":")
    if not file or not name.isidentifier():
        raise CaptureError(f"{place}: name a file and a function, such as my_model.py:build.")
    path = os.path.abspath(file)
    if not os.path.isfile(path):
        raise CaptureError(f"There is no file {file}.")
    sys.path.insert(0, os.path.dirname(path))
    spec = importlib.util.spec_from_file_location("__doctor_model__", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["__doctor_model__"] = module
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise CaptureError(f"{file} has no function {name}().")
    return module, getattr(module, name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model", help="a file and its function, such as my_model.py:build")
    parser.add_argument("out", help="the file to write, such as mine.safetensors")
    parser.add_argument("--call", help="a function that calls the model: my_model.py:call")
    parser.add_argument("--pad-id", type=int, help="the padding id, if it is not found")
    parser.add_argument(
        "--part", choices=PARTS, default="", help="if build() returns only this part"
    )
    parser.add_argument("--width", type=int, help="d_model of a part, if it is not found")
    options = parser.parse_args()
    sys.dont_write_bytecode = True
    sys.path[:] = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(HERE)]
    try:
        torch.manual_seed(0)
        module, build = load(options.model)
        call = load(options.call)[1] if options.call else getattr(module, "call", None)
        named = {name: getattr(module, name, None) for name in ("loss", "optimizer", "greedy")}
        given: Any = {name: one for name, one in named.items() if inspect.isfunction(one)}
        given.update(part=options.part, width=options.width)
        capture(build(), options.out, call=call, pad_id=options.pad_id, **given)
    except CaptureError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out} is written. Drop it on the Debug page.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())

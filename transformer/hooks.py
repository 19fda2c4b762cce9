"""Hooks to observe or replace values inside the model, without changing any signature.

A :class:`HookPoint` is an identity module placed at every quantity worth seeing. It does nothing
until a hook is added: ``record()`` stores the value that passes, ``ablate()`` replaces it.
The names are the module paths, such as ``decoder.layers.0.cross_attention.weights``.

A hook belongs to one module object and to the thread that set it. Threads that inspect the same
checkpoint at the same time use separate module objects, which may share parameter tensors. When a
page reruns while its last run still computes, both use the same module for a moment, and neither
sees the values of the other.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

Hook = Callable[[Tensor], Tensor | None]
"""Gets the value at a hook point; a tensor it returns replaces the value, None keeps it."""

Replacement = Tensor | float | Callable[[Tensor], Tensor]
"""A number, a tensor that broadcasts to what it replaces, or a function of what it replaces."""


Module = TypeVar("Module", bound=nn.Module)


class HookPoint(nn.Module):
    """An identity module, found by name, whose value hooks can observe or replace."""

    def __init__(self) -> None:
        super().__init__()
        self.hooks: list[Hook] = []

    def forward(self, value: Tensor) -> Tensor:
        for hook in tuple(self.hooks):  # a copy: another thread may add or remove hooks
            replacement = hook(value)
            if replacement is not None:
                value = replacement
        return value


class Trace(dict[str, Tensor]):
    """Values from ``record()``: hook point name -> its value in the last forward pass."""

    def _attention(self, stack: str, kind: str) -> Tensor:
        layers: list[Tensor] = []
        while (name := f"{stack}.layers.{len(layers)}.{kind}.weights") in self:
            layers.append(self[name])
        if not layers:
            raise KeyError(f"no {stack} {kind} was recorded; run the model inside record()")
        weights = torch.stack(layers, dim=1)  # [batch, layer, head, query, key]
        return weights[0] if len(weights) == 1 else weights

    @property
    def encoder_attention(self) -> Tensor:
        """Encoder self-attention: [layer, head, query, key]; batch comes first if above 1."""
        return self._attention("encoder", "self_attention")

    @property
    def decoder_attention(self) -> Tensor:
        """Decoder self-attention: [layer, head, query, key]; batch comes first if above 1."""
        return self._attention("decoder", "self_attention")

    @property
    def cross_attention(self) -> Tensor:
        """Attention of the decoder over the encoder's output, in the same shape."""
        return self._attention("decoder", "cross_attention")


def hook_points(model: nn.Module) -> dict[str, HookPoint]:
    """All hook points of a model by name, in the order in which values pass them."""
    return {name: part for name, part in model.named_modules() if isinstance(part, HookPoint)}


def is_hooked(model: nn.Module) -> bool:
    """Whether any hook point of the model has a hook; called before each search."""
    waiting: list[nn.Module | None] = [model]
    while waiting:
        part = waiting.pop()
        if part is None:
            continue
        if isinstance(part, HookPoint) and part.hooks:
            return True
        waiting += part._modules.values()  # named_modules would take four times as long
    return False


def _find(model: nn.Module, names: Sequence[str]) -> dict[str, HookPoint]:
    found = {}
    for name in names:
        try:
            point = model.get_submodule(name)
        except AttributeError:
            point = model
        if not isinstance(point, HookPoint):
            raise KeyError(f"there is no hook point {name!r}; hook_points(model) lists them")
        found[name] = point
    return found


@contextmanager
def hooked(hooks: Mapping[HookPoint, Hook]) -> Iterator[None]:
    """Call each hook with the values this thread computes at its point, until the block ends."""
    own = threading.get_ident()

    def of_this_thread(hook: Hook) -> Hook:
        return lambda value: hook(value) if threading.get_ident() == own else None

    here = {point: of_this_thread(hook) for point, hook in hooks.items()}
    for point, hook in here.items():
        point.hooks.append(hook)
    try:
        yield
    finally:
        for point, hook in here.items():
            point.hooks.remove(hook)


@contextmanager
def record(model: nn.Module, names: Sequence[str] | None = None) -> Iterator[Trace]:
    """Record the values at the hook points (all, or those named), detached, until the block ends.

    Raises:
        KeyError: a name is not a hook point of this model.
    """
    points = hook_points(model) if names is None else _find(model, names)
    trace = Trace()

    def keep(name: str) -> Hook:
        def hook(value: Tensor) -> None:
            trace[name] = value.detach()

        return hook

    with hooked({point: keep(name) for name, point in points.items()}):
        yield trace


@contextmanager
def ablate(
    model: nn.Module,
    name: str,
    heads: Sequence[int] | None = None,
    replacement: Replacement = 0.0,
) -> Iterator[None]:
    """Replace the value at one hook point, or only that of some heads, until the block ends.

    A replacement of 0 switches a head off; a tensor recorded on another input patches the
    activation; a function computes the replacement from the value.

    Args:
        name: a hook point; with ``heads``, one whose value is [batch, head, ...].
        heads: the heads to replace; None replaces the whole value.
        replacement: a number, a tensor that broadcasts to what it replaces ([batch, ...], or
            [batch, len(heads), ...]), or a function from that to its replacement.

    Raises:
        KeyError: the name is not a hook point of this model.
        IndexError: a head does not exist there.
    """
    point = _find(model, [name])[name]

    def hook(value: Tensor) -> Tensor:
        value = value.clone()
        part = value if heads is None else value[:, list(heads)]
        new = replacement(part) if callable(replacement) else replacement
        if heads is None:
            value[...] = new
        else:
            value[:, list(heads)] = new
        return value

    with hooked({point: hook}):
        yield


def own_modules(module: Module, made: dict[nn.Module, nn.Module] | None = None) -> Module:
    """Copy the module objects over the same tensors, without any hooks.

    Constructing a model takes many times as long, which many users at once would notice.

    Args:
        made: original -> copy, so far; a module used in two places is copied once.
    """
    made = {} if made is None else made
    if module in made:
        return cast(Module, made[module])
    copied = made[module] = type(module).__new__(type(module))
    for name, value in vars(module).items():
        vars(copied)[name] = value.copy() if isinstance(value, dict | list | set) else value
    for name, part in module._modules.items():
        if part is not None:
            copied._modules[name] = own_modules(part, made)
    if isinstance(copied, HookPoint):
        copied.hooks.clear()
    return copied

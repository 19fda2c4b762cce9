"""Settings that describe and check themselves: help text and bounds in each field's metadata."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields, replace
from typing import Any, Self

from transformer.errors import ConfigError


def setting(
    help: str,
    *,
    default: Any,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    above_minimum: bool = False,
) -> Any:
    """A dataclass field with its help text and the values it may take.

    ``above_minimum`` excludes the minimum itself (a learning rate must be above 0).
    """
    return field(
        default=default,
        metadata={
            "help": help,
            "minimum": minimum,
            "maximum": maximum,
            "choices": choices,
            "above_minimum": above_minimum,
        },
    )


def required(help: str, *, minimum: float, maximum: float) -> Any:
    """Like :func:`setting`, for a field that has no default."""
    return field(
        metadata={
            "help": help,
            "minimum": minimum,
            "maximum": maximum,
            "choices": (),
            "above_minimum": False,
        }
    )


def shown(value: object) -> str:
    """A value as an error message may quote it: short, on one line.

    An integer of thousands of digits is not turned into text at all, since Python refuses to.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return "a number of more than 38 digits"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a huge integer inside, or nested thousands deep
        return f"a {type(value).__name__}"
    return text if len(text) <= 40 else text[:37] + "..."


class SelfValidating:
    """Checks each field's type and bounds, and reads and writes plain dictionaries."""

    def __post_init__(self) -> None:
        for item in fields(self):  # type: ignore[arg-type]
            check_field(item, getattr(self, item.name))

    @classmethod
    def from_dict(cls, values: object) -> Self:
        """Build from a parsed JSON object; an unknown or missing key is an error that names it."""
        if not isinstance(values, Mapping):
            raise ConfigError(f"{cls.__name__} must be an object, found {shown(values)}.")
        known = {item.name: item for item in fields(cls)}  # type: ignore[arg-type]
        for name in values:
            if name not in known:
                raise ConfigError(f"{cls.__name__} has no field {shown(name)}; remove it.")
        for name, item in known.items():
            if item.default is MISSING and name not in values:
                raise ConfigError(f"{cls.__name__} lacks the field {name}; add it.")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        return {item.name: getattr(self, item.name) for item in fields(self)}  # type: ignore[arg-type]

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated again."""
        return replace(self, **changes)  # type: ignore[type-var]


def check_field(item: Field[Any], value: object) -> None:
    """Check a value against the type and bounds of its field.

    Raises:
        ConfigError: the value is invalid, whatever the other fields are.
    """
    # `type` is a class, not its name: no config's module postpones its annotations.
    kind = item.type
    accepted = (int, float) if kind is float else kind
    if isinstance(value, bool) is not (kind is bool) or not isinstance(value, accepted):  # type: ignore[arg-type]
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise ConfigError(f"{item.name} = {shown(value)}: must be {names[kind]}.")  # type: ignore[index]
    choices = item.metadata["choices"]
    if choices and value not in choices:
        raise ConfigError(
            f"{item.name} = {shown(value)}: must be one of {', '.join(map(str, choices))}."
        )
    minimum, maximum = item.metadata["minimum"], item.metadata["maximum"]
    if isinstance(value, int | float) and not isinstance(value, bool):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{item.name} = {value}: must be a finite number.")
        excluded = item.metadata["above_minimum"]
        too_low = minimum is not None and (value <= minimum if excluded else value < minimum)
        if too_low or (maximum is not None and value > maximum):
            bounds = f"above {minimum:,} and at most" if excluded else f"between {minimum:,} and"
            raise ConfigError(f"{item.name} = {shown(value)}: must be {bounds} {maximum:,}.")

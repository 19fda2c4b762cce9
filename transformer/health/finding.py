"""What a check found, in words. Loads no torch."""

from dataclasses import dataclass

STATES = ("ok", "waiting", "warning", "problem")


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    name: what was checked, in a few words.
    state: "ok"; "waiting", if there is not yet enough to judge by; "warning", if it may be
        wrong; "problem", if it is.
    sentence: what was found, with the numbers; where something is wrong, its cause first.
    advice: what to do about it; empty if nothing.
    """

    name: str
    state: str
    sentence: str
    advice: str = ""

    @property
    def alarm(self) -> bool:
        return self.state in ("warning", "problem")


def percent(share: float) -> str:
    """A share of 1 as a percentage in a sentence."""
    return f"{share:.1%}".replace("%", " %")

"""Heads switched off or patched, to see what the output depends on, not only where heads look."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.attention import place
from pages.components.attention.inspected_input import InspectedInput
from pages.components.shared.examples import held_out
from pages.components.shared.inputs import short_enough
from pages.components.shared.inspection import LONGEST_OUTPUT, visible_tokens
from pages.components.shared.right_answer import known_target
from pages.components.shell import address, jobs
from pages.components.shell.frame import problem
from pages.components.shell.text import full_stop, percent, plain, verbatim
from transformer.analysis.heads import Head, all_heads
from transformer.errors import UserError
from transformer.evaluation.held_out import Examples
from transformer.tasks import Pair

if TYPE_CHECKING:
    from torch import Tensor

    from transformer.analysis.ablation import Effect, KnockOut, Replacements
    from transformer.checkpoint import Checkpoint

METHODS = {
    "zero": "nothing (zero)",
    "mean": "its mean over held-out examples",
    "patch": "what it wrote for another input",
}


@dataclass(frozen=True)
class Off:
    """Heads switched off, and what replaces their output.

    method: a name in METHODS. other: the input whose outputs replace theirs, for "patch".
    effect: on the input on screen; None if it cannot be computed, for the reason in ``problem``.
    """

    heads: tuple[Head, ...]
    method: str
    other: str
    effect: "Effect | None"
    problem: UserError | None = None


def read(inspected: InspectedInput) -> None:
    """Before everything else: read from the address what replaces the output of heads that are
    off."""
    address.read("write", "zero")
    vocabulary = inspected.checkpoint.source_vocabulary
    ids = vocabulary.encode(vocabulary.as_trained(inspected.text))
    address.read("patch", vocabulary.decode(reversed(ids)))
    method = st.session_state["write"]
    # An imported model may have no pairs to take the mean over.
    if method not in METHODS or (method == "mean" and not held_out(inspected.checkpoint).pairs):
        st.session_state["write"] = "zero"


def switched_off(inspected: InspectedInput) -> Off | None:
    """The heads that are off, and their effect on the input on screen; None if no head is off.

    Call it after ``place.read`` and ``read``.
    """
    method = st.session_state["write"]
    heads = tuple(place.heads_off(inspected.checkpoint.config))
    if not heads:
        return None
    other = st.session_state["patch"]
    name = (id(inspected), heads, method, other)
    kept: tuple[object, InspectedInput, Off] | None = st.session_state.get("heads off effect")
    if kept is None or kept[0] != name:
        kept = (name, inspected, _measured(inspected, heads, method, other))
        st.session_state["heads off effect"] = kept
    return kept[2]


def _measured(inspected: InspectedInput, heads: tuple[Head, ...], method: str, other: str) -> Off:
    try:
        return Off(heads, method, other, _effect(inspected, heads, method, other))
    except UserError as error:
        return Off(heads, method, other, None, error)


def sentence(inspected: InspectedInput, off: Off | None) -> str:
    """For the answer line: what the model writes without the heads that are off; "" if none is."""
    if off is None or off.effect is None:
        return ""
    vocabulary = inspected.checkpoint.target_vocabulary
    before, after = vocabulary.decode(off.effect.before), vocabulary.decode(off.effect.after)
    some = ", ".join(head.short for head in off.heads[:3])
    names = some if len(off.heads) <= 3 else f"{len(off.heads)} heads"
    if before == after:
        return f"**Without {names}** it still does, {_most_changed(off.effect)}."
    target = known_target(inspected.checkpoint, inspected.text, after)
    judged = "" if target is None else ", right" if target == after else ", **wrong**"
    return f"**Without {names}** it writes {verbatim(after)}{judged}{full_stop(after)}"


def panel(sides: Sequence[InspectedInput], head: Head | None) -> None:
    """Fields for the heads that are off and what replaces their output; then all effects."""
    inspected = sides[0]
    examples = held_out(inspected.checkpoint)
    off = _choices(inspected, examples)
    if off is None:
        st.info("No head is off. *Switch this head off* above, or choose some here.")
    elif off.effect is None:
        assert off.problem is not None
        problem(off.problem)
    else:
        _draw_effect(inspected.checkpoint, off.effect)
    left, right = st.columns(2)
    with left:
        if off is not None and off.method != "patch":
            _exact_match(inspected, list(off.heads), off.method, examples)
    with right:
        method = st.session_state["kept write"]
        _knock_out(inspected, "zero" if method == "patch" else method, examples)


def _choices(inspected: InspectedInput, examples: Examples) -> Off | None:
    """Fields for the heads to switch off, and for what they write instead."""
    known = {str(one): one for one in all_heads(inspected.checkpoint.config)}
    # A list for the widget, a text for the address.
    st.session_state["heads off"] = [
        str(head) for head in place.heads_off(inspected.checkpoint.config)
    ]
    left, right = st.columns([3, 2])
    with left:
        st.multiselect(
            "Heads switched off",
            list(known),
            format_func=lambda name: known[name].short,
            key="heads off",
            on_change=_remember_heads,
        )
        place.keep_heads_off()
    with right:
        methods = [name for name in METHODS if name != "mean" or examples.pairs]
        method = st.selectbox(
            "They write instead", methods, format_func=METHODS.__getitem__, key="write"
        )
        address.write("write", method if method != "zero" else "")
        st.session_state["kept write"] = method
    if method == "patch":
        other = short_enough(st.text_input("The other input", key="patch"))
        address.write("patch", other)
    return switched_off(inspected)


def _remember_heads() -> None:
    st.session_state["without"] = " ".join(st.session_state["heads off"])


def _replacements(
    checkpoint: "Checkpoint", method: str, pairs: Sequence[Pair]
) -> "Callable[[Sequence[Head]], Replacements]":
    from transformer.analysis.ablation import means, zeros

    if method == "mean":
        return lambda heads: means(checkpoint, heads, pairs) if heads else {}
    return zeros


# --- the input on screen ----------------------------------------------------------------------


def _effect(inspected: InspectedInput, heads: Sequence[Head], method: str, other: str) -> "Effect":
    import torch

    from transformer.analysis.ablation import effect, patches

    checkpoint, found = inspected.checkpoint, inspected.inspection
    source = torch.tensor([found.source])
    if method == "patch":
        read: Tensor = torch.tensor([found.read])
        replacements = patches(checkpoint, heads, source, read, checkpoint.encode(other))
    else:
        pairs = held_out(checkpoint).pairs if method == "mean" else ()
        replacements = _replacements(checkpoint, method, pairs)(heads)
    longest = min(LONGEST_OUTPUT, 2 * len(found.written) + 10)
    return effect(checkpoint.model, source, replacements, longest)


def _draw_effect(checkpoint: "Checkpoint", found: "Effect") -> None:
    from transformer.figures.attention import before_after

    vocabulary = checkpoint.target_vocabulary
    before, after = vocabulary.decode(found.before), vocabulary.decode(found.after)
    if before == after:
        st.markdown(
            f"The model writes {verbatim(before)} with all heads and with this change, too: the "
            f"output stays, {_most_changed(found)}."
        )
    else:
        st.markdown(
            f"With all heads the model writes {verbatim(before)}; with this change it writes "
            f"{verbatim(after)}{full_stop(after)}"
        )
    tokens = visible_tokens(vocabulary.tokens, [one.token for one in found.tokens])
    preferred = visible_tokens(vocabulary.tokens, [one.preferred for one in found.tokens])
    st.plotly_chart(
        before_after(
            tokens,
            [one.before for one in found.tokens],
            [one.after for one in found.tokens],
            preferred,
        ),
        key="before after",
    )
    worst = min(found.tokens, key=lambda one: one.after - one.before)
    lost = worst.before - worst.after
    st.caption(
        "The probability of each token of the unchanged output, given the same tokens before it. "
        + (
            f"Look at the gaps: the largest is {percent(lost)[:-2]} points."
            if lost >= 0.01
            else "No token loses as much as 1 point: on this input nothing depends on it."
        )
    )


def _most_changed(found: "Effect") -> str:
    """The largest change of an output token's probability, in words."""
    most = 100 * max((abs(one.after - one.before) for one in found.tokens), default=0.0)
    if most < 0.1:
        return "and the probability of each of its tokens changes by less than 0.1 points"
    return f"but the probabilities of its tokens change by up to {most:.1f} points"


# --- held-out examples ------------------------------------------------------------------------


def _exact_match(
    inspected: InspectedInput, heads: list[Head], method: str, examples: Examples
) -> None:
    name = (inspected.checkpoint.header.sha256, tuple(heads), method)
    st.markdown("**Without these heads, on many inputs**")
    if not examples.pairs:
        st.info("This checkpoint holds no examples to measure on.")
        return
    job = jobs.current("exact match study", name)
    if st.button(f"Exact match on {examples.words}", key="measure"):
        view = inspected.checkpoint.view()  # separate hooks, as the job runs in another thread

        def work() -> Generator[object, None, None]:
            from transformer.analysis.ablation import exact_match

            count = len(examples.pairs)
            shares = []
            for number, off in enumerate(([], heads)):
                replacements = _replacements(view, method, examples.pairs)(off)
                rights = []
                for done, right in exact_match(
                    view, examples.pairs, replacements, examples.is_right
                ):
                    yield (number + done / count) / 2
                    rights.append(right)
                shares.append(rights[-1] / count)
            yield tuple(shares)

        st.session_state["exact match study"] = job = jobs.start(name, work)
    result = jobs.show(job, "Decoding")
    if isinstance(result, tuple):
        whole, without = result
        st.metric(
            f"Exact match on {examples.words}",
            percent(without),
            f"{100 * (without - whole):+.1f} points; all heads: {percent(whole)}",
            delta_color="off",
        )


def _knock_out(inspected: InspectedInput, method: str, examples: Examples) -> None:
    name = (inspected.checkpoint.header.sha256, method)
    st.markdown("**Which heads matter at all?**")
    if not examples.pairs:
        return
    job = jobs.current("knock-out study", name)
    count = len(all_heads(inspected.checkpoint.config))
    if st.button(f"Knock out each of the {count} heads in turn", key="knock out"):
        view = inspected.checkpoint.view()

        def work() -> Generator[object, None, None]:
            from transformer.analysis.ablation import knock_out

            replacements = _replacements(view, method, examples.pairs)
            yield from knock_out(view, examples.pairs, replacements, examples.is_right)

        st.session_state["knock-out study"] = job = jobs.start(name, work)
    result = jobs.show(job, f"{count} heads, {examples.words}")
    if result is not None:
        _draw_ranking(result, examples)  # type: ignore[arg-type]


def _draw_ranking(found: "KnockOut", examples: Examples) -> None:
    from transformer.figures.attention import ranked_bars

    ranked = found.ranked
    st.plotly_chart(
        ranked_bars(
            [head.short for head in ranked],
            [100 * found.without[head] for head in ranked],
            100 * found.whole,
            title="Exact match without one head",
            value_title="exact match (%)",
            reference="all heads",
        ),
        key="ranking",
    )
    st.caption(f"On {examples.words}.")
    st.markdown(plain(finding(found)))
    st.selectbox(
        "Show one of them",
        [None, *ranked],
        format_func=lambda head: "choose one" if head is None else head.title,
        key="go to ranked",
        on_change=_go,
    )


def finding(found: "KnockOut") -> str:
    """What the ranking shows, and what it does not show, in sentences."""
    top = found.ranked[0]
    points = 100 * (found.whole - found.without[top])
    together = 100 * (found.whole - found.without_least)
    alone = (
        max(100 * (found.whole - found.without[head]) for head in found.least) if found.least else 0
    )
    said = (
        f"The most important head is {top.short}: without it exact match falls from "
        f"{percent(found.whole)} to {percent(found.without[top])}, by {points:.1f} points."
        if points >= 1
        else "No single head matters here: others make up for each one."
    )
    if not found.least:
        return said
    said += (
        f" The {len(found.least)} heads that matter least cost at most {alone:.1f} points one by "
        f"one, and {together:.1f} points all together."
    )
    if together < 5:
        return f"{said} They are spare for this task."
    if together > 2 * alone + 5:
        return (
            f"{said} So they are not spare: they share their work, and when one was off, the "
            "others made up for it."
        )
    return f"{said} So this model has no spare heads: all of them take part."


def _go() -> None:
    head = st.session_state["go to ranked"]
    if head is not None:
        place.go_to(head)

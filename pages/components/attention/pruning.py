"""Switching heads off one after the other; and shuffling weights, to see if places matter."""

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from pages.components.attention.inspected_input import InspectedInput
from pages.components.shared.examples import held_out
from pages.components.shell import jobs
from pages.components.shell.text import percent
from transformer.analysis.heads import Head, all_heads
from transformer.evaluation.held_out import Examples
from transformer.tasks import Pair

if TYPE_CHECKING:
    from transformer.analysis.pruning import Pruning
    from transformer.checkpoint import Checkpoint

HALF, HALF_OF_LARGE, LARGE = 64, 16, 5000
"""Numbers of examples: HALF of them choose which head goes next, and as many score. HALF_OF_LARGE
if the target vocabulary has more than LARGE tokens, because its logits take much memory."""
MOST_TRIALS = 1200
"""Maximum number of evaluations of a model with one more head off; of very many heads, only a few
are then switched off."""
TOLERANCE = 0.05
"""Largest share of the answers that may be lost in total."""


def panel(sides: Sequence[InspectedInput], head: Head | None) -> None:
    """Two studies on many inputs, each behind a button."""
    checkpoint = sides[0].checkpoint
    examples = held_out(checkpoint)
    if not examples.pairs:
        st.info("This checkpoint holds no examples to measure on.")
        return
    left, right = st.columns(2, gap="large")
    with left:
        _one_after_the_other(checkpoint, examples)
    with right:
        _shuffled(checkpoint, examples)


def _few(checkpoint: "Checkpoint", pairs: Sequence[Pair]) -> Sequence[Pair]:
    large = checkpoint.config.target_vocab_size > LARGE
    return pairs[: 2 * (HALF_OF_LARGE if large else HALF)]


# --- heads that go ------------------------------------------------------------------------------


def _one_after_the_other(checkpoint: "Checkpoint", examples: Examples) -> None:
    st.markdown("**How many heads can go?**")
    st.caption(
        "Each step switches off the head that costs the least. One half of the examples chooses "
        "it, the other half gives the score: on the half that chose, heads look less needed than "
        "they are. An answer is right if every token is right, given the true tokens before it."
    )
    count = len(all_heads(checkpoint.config))
    rounds = rounds_for(count)
    name = ("pruning", checkpoint.header.sha256)
    job = jobs.current("pruning study", name)
    what = "all" if rounds == count else f"{rounds} of"
    if st.button(f"Switch off {what} {count} heads, one after the other", key="prune"):
        view, pairs = checkpoint.view(), _few(checkpoint, examples.pairs)

        def work() -> Generator[object, None, None]:
            from transformer.analysis.pruning import prune

            yield from prune(view, pairs[::2], pairs[1::2] or pairs, rounds)

        st.session_state["pruning study"] = job = jobs.start(name, work)
    found = jobs.show(job, "Heads switched off")
    if found is not None:
        _draw_pruning(found)  # type: ignore[arg-type]


def rounds_for(heads: int) -> int:
    """How many of ``heads`` heads can be switched off in turn within ``MOST_TRIALS``."""
    rounds = trials = 0
    while rounds < heads and trials + heads - rounds <= MOST_TRIALS:
        trials += heads - rounds
        rounds += 1
    return rounds


def _draw_pruning(found: "Pruning") -> None:
    from transformer.figures.curves import named_curves

    halves = {"on the other half": found.scored, "on the half that chose": found.chosen}
    st.plotly_chart(
        named_curves(
            {
                name: [(gone, 100 * share) for gone, share in enumerate(shares)]
                for name, shares in halves.items()
            },
            "heads switched off",
            "answers right (%)",
            title="What is left, head by head",
        ),
        key="pruned",
    )
    st.markdown(pruning_finding(found))


def pruning_finding(found: "Pruning") -> str:
    """How many heads can go, which went first, and the share of right answers, in sentences."""
    free = found.can_go(TOLERANCE)
    first = ", ".join(head.short for head in found.heads[:3])
    if free == 0:
        said = (
            f"**None can go**: without {found.heads[0].short}, the one that costs least, "
            f"{percent(found.scored[1])} of the answers are right; with all heads, "
            f"{percent(found.scored[0])}."
        )
    else:
        some = "head" if free == 1 else "heads"
        said = (
            f"**{free} {some} can go** before more than {percent(TOLERANCE)} of the answers are "
            f"lost: without them {percent(found.scored[free])} are right, with all heads "
            f"{percent(found.scored[0])}. First to go: {first}."
        )
    if free == len(found.heads):
        said += " No more were tried."
    return f"{said} The model was not trained again."


# --- weights at other positions --------------------------------------------------------------


def _shuffled(checkpoint: "Checkpoint", examples: Examples) -> None:
    st.markdown("**Does it matter where a head looks?**")
    st.caption(
        "For one head of cross-attention at a time, the weights are put in a random order over "
        "the input. If the output stays, its map does not explain the output."
    )
    name = ("shuffling", checkpoint.header.sha256)
    job = jobs.current("shuffling study", name)
    if st.button("Shuffle each head's weights", key="shuffle"):
        view, pairs = checkpoint.view(), _few(checkpoint, examples.pairs)

        def work() -> Generator[object, None, None]:
            from transformer.analysis.permutation import changed_on

            yield from changed_on(view, [pair.source for pair in pairs])

        st.session_state["shuffling study"] = job = jobs.start(name, work)
    found = jobs.show(job, "Weights shuffled")
    if isinstance(found, dict):
        _draw_shuffled(found)


def _draw_shuffled(found: Mapping[Head, float]) -> None:
    from transformer.figures.attention import ranked_bars

    ranked = sorted(found, key=lambda head: -found[head])
    st.plotly_chart(
        ranked_bars(
            [head.short for head in ranked],
            [100 * found[head] for head in ranked],
            None,
            title="Tokens changed by shuffled weights",
            value_title="tokens of the output that change (%)",
            head_title="head shuffled",
        ),
        key="shuffled",
    )
    most = ranked[0]
    if found[most] >= 0.2:
        said = f"The output depends on where {most.short} looks: its map explains something."
    else:
        said = (
            f"Where a single head looks matters little, most for {most.short}: other heads make "
            "up for it, or the values there are alike. A clear map alone explains nothing here."
        )
    st.markdown(f"At most {percent(found[most])} of the tokens change. {said}")

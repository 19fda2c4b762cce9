"""Studies on many inputs: removed heads, shuffled weights, accuracy by length; and gradients."""

import pytest
from streamlit.testing.v1 import AppTest

from pages.components.attention.pruning import MOST_TRIALS, pruning_finding, rounds_for
from pages.components.decoding.lengths import Counted, sentences
from pages.components.runs.gradients import measure
from pages.components.shell.jobs import Job
from tests.support.opened_pages import messages, open_page
from transformer.analysis.heads import Head
from transformer.analysis.lengths import Lengths
from transformer.analysis.pruning import Pruning
from transformer.runs.creation import create_run
from transformer.tasks.presets import prepare

pytestmark = pytest.mark.usefixtures("own_folder")


def end_of(app: AppTest, key: str) -> None:
    study: Job = app.session_state[key]
    assert study.ended.wait(60)
    app.run()
    assert not app.exception
    assert not messages(app)


def told(app: AppTest, start: str) -> str:
    [found] = [block.value for block in app.markdown if block.value.startswith(start)]
    return str(found)


def test_heads_go_one_by_one_and_weights_are_shuffled() -> None:
    app = open_page("attention", checkpoint="reverse", input="abc", panel="spare")
    app.button(key="prune").click().run()
    end_of(app, "pruning study")
    assert "the one that costs least" in told(app, "**None can go**")
    app.button(key="shuffle").click().run()
    end_of(app, "shuffling study")
    assert "The output depends on where cross" in told(app, "At most 3")


def test_a_model_of_many_heads_loses_its_first_few() -> None:
    assert rounds_for(6) == 6
    assert rounds_for(48) == 48
    assert sum(144 - gone for gone in range(rounds_for(144))) <= MOST_TRIALS


def test_the_finding_counts_the_heads_that_can_go() -> None:
    heads = tuple(Head("cross", 0, number) for number in range(3))
    finding = pruning_finding(Pruning(heads, (), (0.9, 0.89, 0.4, 0.1)))
    assert finding.startswith("**1 head can go** before more than 5.0 % of the answers")


def test_accuracy_against_length_falls_where_training_ended() -> None:
    app = open_page("decode", checkpoint="sort", input="banana", part="lengths")
    end_of(app, "length study")
    assert any("it was trained on, up to 12 tokens" in block.value for block in app.markdown)


@pytest.mark.parametrize(
    ("longer", "where"),
    [
        ({11: 0, 12: 0}, "it fails as soon as they are exceeded."),
        ({11: 4, 12: 0}, "from 12 tokens on it gets less than half right."),
        ({11: 4, 12: 4}, "it goes on well beyond them."),
        ({11: 0, 12: 4}, "it goes on well beyond them."),
    ],
)
def test_where_it_falls_is_said(longer: dict[int, int], where: str) -> None:
    tried = dict.fromkeys(longer, 4)
    found = Counted(Lengths({9: 4, 10: 4}, {9: 4, 10: 3}), Lengths(tried, longer))
    assert sentences(found).endswith(where)
    assert sentences(found).startswith("**87.5 % right**")


def test_gradients_are_those_of_both_orders_of_norms() -> None:
    config = prepare("reverse", "tiny", model={"num_decoder_layers": 3})[1]
    *steps, found = measure(create_run(config).path)
    assert steps[-1] == 1.0
    assert isinstance(found, dict)
    assert {order: len(stacks["decoder"]) for order, stacks in found.items()} == {
        "post-norm": 3,
        "pre-norm": 3,
    }
    assert all(norm > 0 for stacks in found.values() for side in stacks.values() for norm in side)

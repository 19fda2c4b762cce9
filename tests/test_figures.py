"""Figures say what the arrays say, and swallow no token."""

import numpy as np
import pytest

from transformer.figures import attention_map, loss_curves, run_comparison


def test_map_keeps_every_weight_and_escapes_tokens() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=2)
    figure = attention_map(weights, ["<s>", "<b>x</b>"], ["a", "a", "<eos>"], title="<i>head</i>")
    assert np.array_equal(figure.data[0].z, weights)
    assert list(figure.layout.yaxis.ticktext) == ["&lt;s&gt;", "&lt;b&gt;x&lt;/b&gt;"]
    # The same token in two places keeps both columns.
    assert list(figure.layout.xaxis.tickvals) == [0, 1, 2]
    assert "<i>" not in figure.layout.title.text
    assert figure.layout.xaxis.title.text
    assert figure.layout.yaxis.title.text


def test_map_refuses_weights_that_do_not_fit_the_tokens() -> None:
    with pytest.raises(ValueError, match="3 key tokens"):
        attention_map(np.ones((2, 2)), ["a", "b"], ["a", "b", "c"])


def test_curves_carry_points_baselines_and_units() -> None:
    figure = loss_curves([(1, 3.0), (2, 2.0)], [(0, 4.0)], {"untrained": 4.0, "ln|V|": 3.4})
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["training batches"].y) == [3.0, 2.0]
    assert list(by_name["untrained: 4"].y) == [4.0, 4.0]
    assert list(by_name["ln|V|: 3.4"].x) == [0, 2]
    assert "nats" in figure.layout.yaxis.title.text


def test_curves_take_three_baselines_apart_and_leave_out_what_was_not_measured() -> None:
    baselines = {"untrained": 4.0, "ln|V|": 3.4, "unigram": 3.1}
    lines = loss_curves([(1, 3.0, 0.1, 40)], [], baselines).data[2:]
    assert [line.y[0] for line in lines] == [4.0, 3.4, 3.1]
    assert len({line.line.color for line in lines}) == len({line.line.dash for line in lines}) == 3
    assert len(loss_curves([(1, 3.0)], [], {**baselines, "unigram": None}).data) == 4


def test_curves_of_a_run_without_points_are_an_empty_figure() -> None:
    figure = loss_curves([], [], {"untrained": 4.0})
    assert [len(trace.y) for trace in figure.data] == [0, 0, 2]


def test_compared_runs_keep_their_points_and_differ_in_colour_and_dash() -> None:
    curves = [(f"<b>{n}</b>", [(0, 4.0), (n + 1, 1.0)]) for n in range(8)]
    figure = run_comparison(curves, [("untrained", 4.0)], logarithmic_y=True)
    runs = figure.data[:8]
    assert [list(trace.x) for trace in runs] == [[0, n + 1] for n in range(8)]
    assert runs[0].name == "&lt;b&gt;0&lt;/b&gt;"
    assert len({trace.line.color for trace in runs}) == len({t.line.dash for t in runs}) == 8
    assert list(figure.data[8].x) == [0, 8]
    assert figure.layout.yaxis.type == "log"
    assert figure.layout.xaxis.title.text
    assert len(run_comparison([("none", [])]).data[0].x) == 0

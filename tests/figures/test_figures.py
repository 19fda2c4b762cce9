"""Figures contain every value of their arrays and every token."""

from collections.abc import Callable

import numpy as np
import pytest

from transformer.figures.attention import (
    attention_grid,
    attention_map,
    before_after,
    evidence_bars,
    head_view,
    query_key_map,
    ranked_bars,
)
from transformer.figures.curves import loss_curves, run_comparison


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


def test_grid_keeps_every_weight_of_every_head_in_its_place() -> None:
    weights = np.random.default_rng(0).dirichlet(np.ones(3), size=(2, 4, 5))
    figure = attention_grid(weights, ["<s>", *"bcde"], ["x", "<b>", "z"], title="<i>all</i>")
    [picture] = figure.data
    shown = np.asarray(picture.z, dtype=float)
    kept = shown[~np.isnan(shown)]
    assert kept.size == weights.size
    # The second layer's third head, read back from where the axes say it is.
    x, y = figure.layout.xaxis.tickvals[2], figure.layout.yaxis.tickvals[1]
    assert np.array_equal(shown[int(y - 2) : int(y + 3), int(x - 1) : int(x + 2)], weights[1, 2])
    assert picture.customdata[0][1] == "layer 1, head 1: &lt;s&gt; → &lt;b&gt;"
    assert "<i>" not in figure.layout.title.text


def test_head_view_draws_the_links_above_the_threshold_and_says_what_is_hidden() -> None:
    weights = np.array([[[0.9, 0.1], [0.04, 0.96]], [[0.5, 0.5], [0.5, 0.5]]])
    figure = head_view(weights, ["<s>", "b"], ["x", "y"], threshold=0.05)
    drawn = [trace for trace in figure.data if trace.mode == "lines" and trace.x[0] is not None]
    links = sum(np.isfinite(np.asarray(trace.y, float)).sum() // 2 for trace in drawn)
    assert links == 7  # 8 links, one below the threshold
    assert "1.0%" in figure.layout.title.text
    [texts] = [trace.text for trace in figure.data if trace.mode == "text" and trace.x[0] == 0]
    assert texts[0] == "&lt;s&gt;"
    assert {trace.name for trace in figure.data if trace.name} == {"head 1", "head 2"}


@pytest.mark.parametrize("draw", [attention_grid, head_view])
def test_shapes_that_do_not_fit_are_named(draw: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        draw(np.ones((2, 2)), ["a", "b"], ["a", "b"])


def test_queries_and_keys_keep_their_dot_products_where_two_directions_are_all() -> None:
    random = np.random.default_rng(1)
    plane = np.linalg.qr(random.normal(size=(6, 2)))[0].T
    queries, keys = random.normal(size=(3, 2)) @ plane, random.normal(size=(4, 2)) @ plane
    figure = query_key_map(queries, keys, ["<s>", "a", "b"], list("wxyz"))
    drawn = [np.stack([trace.x, trace.y], axis=1) for trace in figure.data]
    assert np.allclose(drawn[0] @ drawn[1].T, queries @ keys.T)
    assert figure.data[0].text[0] == "&lt;s&gt;"
    assert "100%" in figure.layout.title.text


def test_figures_of_heads_escape_names_and_have_units() -> None:
    figures = [
        ranked_bars(["<b>one</b>", "two"], [10, 90], 100, "t", "exact match (%)", "all heads"),
        before_after(["<s>", "a"], [0.9, 0.8], [0.1, 0.7], ["<b>", "a"]),
        evidence_bars(["<s>", "a"], {"weight": [1, 2], "<i>share</i>": [3, 4]}, "t"),
    ]
    for figure in figures:
        text = figure.to_json()
        assert not any(markup in text for markup in ("<b>", "<i>", "<s>", "\\u003cs"))
        assert figure.layout.title.text
        assert figure.layout.xaxis.title.text or figure.layout.xaxis2.title.text


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

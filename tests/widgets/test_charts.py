"""The charts of one run and of several: drawing, zoom, cursor, and keyboard."""

import math
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pages.components.widgets.live_curve import WIDGET as LIVE
from pages.components.widgets.run_compare import WIDGET as COMPARE
from tests.support.bare_page import Bare, BarePage

MARKUP = "<b>bold</b> **x** & =1"


def loss(step: int) -> float:
    return 3 * math.exp(-step / 300) + 0.1


def one_run(last: int = 1000, **more: Any) -> dict[str, Any]:
    """The data of one run: a training loss at each step, an evaluation every 100 steps."""
    evaluated = range(0, last + 1, 100)
    return {
        "run": "abc",
        "train": [[step, loss(step), step / 50, step * 64] for step in range(1, last + 1)],
        "evaluation": [[step, loss(step) + 0.02] for step in evaluated],
        "exact": [[step, step / 1000] for step in evaluated],
        "untrained": 3.4,
        "uniform": 3.3,
        "unigram": 2.9,
        "steps": 2000,
        "evaluated_on": "held-out pairs",
        **more,
    }


def two_runs(last: int = 1000, **more: Any) -> dict[str, Any]:
    points = [(step, step / 50, step * 64) for step in range(0, last + 1, 50)]
    return {
        "runs": [
            {
                "name": name,
                "train": [[*at, loss(at[0]) * by, 1e-3 / (at[0] + 1)] for at in points],
                "evaluation": [[*at, loss(at[0]) * by, at[0] / 1000 / by] for at in points[::2]],
            }
            for name, by in (("one", 1.0), (MARKUP, 2.0))
        ],
        "baselines": [
            {"name": "untrained model", "loss": 6.5, "of": [0, 1]},
            {"name": "uniform guess, ln|V|", "loss": 3.3, "of": [1]},
        ],
        "column": 0,
        "unit": "step (updates made)",
        "log_loss": False,
        "log_x": False,
        **more,
    }


def drag(page: Page, selector: str, start: int, end: int) -> None:
    box = page.locator(selector).first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + start, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + end, box["y"] + 120, steps=3)
    assert float(page.locator("rect.chosen").first.get_attribute("width") or 0) > 0
    page.mouse.up()


def numbers(page: Page, selector: str, attribute: str) -> list[float]:
    found: list[float] = page.locator(selector).evaluate_all(
        "(all, name) => all.map((one) => Number(one.getAttribute(name)))", attribute
    )
    return found


# --- one run ----------------------------------------------------------------------------------


def range_shown(shown: BarePage) -> str:
    """The x range in the label of the loss chart, such as "0 to 2000"."""
    return (shown.page.locator(".plot.loss").get_attribute("aria-label") or "").split(", ")[-1]


def test_baselines_stay_on_the_chart_when_it_is_zoomed(bare: Bare) -> None:
    shown = bare(LIVE, one_run())
    chart = shown.page.locator(".plot.loss")
    lines = chart.locator("polyline.untrained, polyline.level")
    expect(lines).to_have_count(3)
    # Baselines that need no model are labelled at the axis; their labels do not overlap.
    guesses = chart.locator("text.level")
    expect(guesses).to_have_text(["uniform guess 3.30", "guess by frequency 2.90"])
    first, second = numbers(shown.page, ".plot.loss text.level", "y")
    assert second - first >= 12
    expect(chart.locator(".beyond span")).to_have_count(0)
    chart.focus()
    shown.press("End", "+", "+", "+", "+")
    expect(lines).to_have_count(0)
    expect(chart.locator(".beyond span")).to_have_text(
        ["▲ untrained model 3.40", "▲ uniform guess 3.30", "▲ guess by frequency 2.90"]
    )
    shown.press("0")
    expect(chart.locator(".beyond span")).to_have_count(0)
    expect(lines).to_have_count(3)


def test_what_names_a_guess_covers_no_curve(bare: Bare) -> None:
    """A run that learns nothing stays near the lines of the guesses to its end."""
    level = [[step, 3.3 + 0.1 * (step // 10 % 3 - 1)] for step in range(0, 2001, 10)]
    train = [[step, value, step / 50, step * 64] for step, value in level]
    shown = bare(LIVE, one_run(train=train, evaluation=level, uniform=3.35, unigram=3.25))
    expect(shown.page.locator("text.level")).to_have_count(2)
    covered = shown.page.locator("text.level").evaluate_all(
        """(texts) => {
          const lines = [...texts[0].ownerSVGElement.querySelectorAll("polyline:not(.level)")];
          const places = lines.flatMap((line) => [...line.points]
            .map((point) => point.matrixTransform(line.getScreenCTM())));
          return texts.map((text) => text.getBoundingClientRect()).filter((box) => places.some(
            ({ x, y }) => x > box.left && x < box.right && y > box.top + 2 && y < box.bottom - 2));
        }"""
    )
    assert not covered


def test_a_loss_that_explodes_is_drawn_on_a_logarithmic_axis(bare: Bare) -> None:
    train = [[step, 10.0**step, step, step] for step in range(12)]
    shown = bare(LIVE, one_run(train=train, evaluation=[[0, 3.4]]))
    box = shown.page.get_by_label("logarithmic loss")
    expect(box).to_be_checked()
    ticks = shown.page.locator(".plot.loss text[text-anchor=end]:not(.level)")
    assert 4 <= ticks.count() <= 8
    box.uncheck()
    shown.draw(one_run(train=train[:-1], evaluation=[[0, 3.4]]))
    expect(box).not_to_be_checked()  # as the user left it


def test_the_axis_can_be_steps_seconds_or_tokens(bare: Bare) -> None:
    shown = bare(LIVE, one_run())
    chart, axis = shown.page.locator(".plot.loss"), shown.page.get_by_label("x axis")
    assert range_shown(shown) == "0 to 2000"  # to the last planned step
    axis.select_option("tokens")
    expect(chart).to_contain_text("tokens read, padding included")
    assert range_shown(shown) == "0 to 64K"
    axis.select_option("seconds")
    assert range_shown(shown) == "0 to 20"
    # An evaluation is drawn at its step's time: the tenth of 11 points at 18 of 20 s.
    dots = numbers(shown.page, ".plot.loss circle.evaluation", "cx")
    assert dots[9] == pytest.approx(dots[0] + 0.9 * (dots[10] - dots[0]), abs=0.2)
    shown.draw(one_run(train=[[step, loss(step)] for step in range(1, 1001)]))
    expect(axis).to_be_hidden()  # the times of the steps are unknown


def test_a_zoom_survives_new_points(bare: Bare) -> None:
    shown = bare(LIVE, one_run())
    drag(shown.page, ".plot.loss", 150, 250)
    zoomed = range_shown(shown)
    assert zoomed != "0 to 2000"
    shown.draw(one_run(1500, steps=3000))
    assert range_shown(shown) == zoomed
    shown.page.locator(".plot.loss").dblclick(position={"x": 200, "y": 100})
    assert range_shown(shown) == "0 to 3000"
    for name, shows in (("last third", "1000 to 1500"), ("all", "0 to 3000")):
        button = shown.page.get_by_role("button", name=name)
        button.click()
        assert range_shown(shown) == shows
        expect(button).to_have_attribute("aria-pressed", "true")
        expect(shown.page.locator("button[aria-pressed=true]")).to_have_count(1)


def test_a_zoom_ends_where_numbers_could_not_be_told_apart(bare: Bare) -> None:
    shown = bare(LIVE, one_run())
    shown.page.locator(".plot.loss").focus()
    shown.press("End", *["+"] * 60)
    low, high = map(float, range_shown(shown).split(" to "))
    assert low < high
    expect(shown.page.locator(".plot.loss text").first).to_be_visible()


def test_a_click_asks_the_slider_for_that_step(bare: Bare) -> None:
    shown = bare(LIVE, one_run())
    page, chart = shown.page, shown.page.locator(".plot.loss")
    page.evaluate(
        "() => { window.asked = [];"
        " addEventListener('workbench-moment-wanted', (event) => asked.push(event.detail)); }"
    )
    chart.click(position={"x": 200, "y": 100})
    assert page.evaluate("asked") == []  # there is no slider
    expect(page.locator(".hint")).not_to_contain_text("maps")
    page.evaluate(
        "dispatchEvent(new CustomEvent('workbench-moment', { detail: { run: 'abc', step: 7 } }))"
    )
    expect(page.locator(".hint")).to_contain_text("click for its maps")
    chart.click(position={"x": 200, "y": 100})
    chart.focus()
    shown.press("Home", "Enter")
    asked = page.evaluate("asked")
    assert [one["run"] for one in asked] == ["abc", "abc"]
    low, high = map(float, range_shown(shown).split(" to "))
    assert low < asked[0]["step"] < high / 2
    assert asked[1]["step"] in (0, 1)
    drag(page, ".plot.loss", 150, 250)
    assert len(page.evaluate("asked")) == 2  # that was a zoom


def test_the_place_pointed_at_is_read_out(bare: Bare) -> None:
    shown = bare(LIVE, one_run())
    readout, chart = shown.page.locator(".readout"), shown.page.locator(".plot.loss")
    expect(readout).to_contain_text("Step 1,000: training loss 0.207 after 20 s and 64,000 tokens")
    chart.focus()
    expect(readout).to_have_attribute("aria-live", "polite")
    shown.press("Home")
    expect(readout).to_contain_text("step 0: loss on held-out pairs 3.12 · exact match 0.0 %")
    shown.press("ArrowRight")  # a fortieth of the range
    expect(readout).to_contain_text("Step 50: training loss")
    x = numbers(shown.page, "line.pointed", "x1")
    assert len(x) == 2  # in both charts
    assert abs(x[0] - x[1]) < 1
    shown.page.locator(".plot.exact").hover(position={"x": 200, "y": 100})
    assert numbers(shown.page, "line.pointed", "x1") == pytest.approx([200, 200], abs=1)
    shown.page.mouse.move(0, 0)
    expect(readout).to_contain_text("Step 1,000")


def test_the_moment_of_the_time_slider_is_marked(bare: Bare) -> None:
    shown = bare(LIVE, one_run())

    def stand_at(step: int, run: str = "abc") -> None:
        shown.page.evaluate(
            "(detail) => window.dispatchEvent(new CustomEvent('workbench-moment', { detail }))",
            {"run": run, "step": step},
        )

    line, named = shown.page.locator(".plot.loss line.moment"), "moment of the time slider"
    stand_at(500, "another run")
    expect(line).to_have_count(0)
    stand_at(0)
    first = numbers(shown.page, "line.moment", "x1")[0]
    expect(shown.page.locator(".legend")).to_contain_text(named)
    stand_at(1000)
    assert numbers(shown.page, "line.moment", "x1")[0] > first + 150
    shown.page.get_by_role("button", name="last third").click()
    expect(line).to_have_count(1)
    stand_at(0)
    expect(line).to_have_count(0)  # outside the zoom


def test_a_logarithmic_loss_shows_a_loss_of_nothing_at_the_bottom(bare: Bare) -> None:
    data = one_run()
    data["evaluation"][-1][1] = 0.0
    shown = bare(LIVE, data)
    shown.page.get_by_label("logarithmic loss").check()
    heights = numbers(shown.page, ".plot.loss circle.evaluation", "cy")
    assert max(heights) == heights[-1] == 142  # the axis
    # Equal ratios are equal distances.
    labels = shown.page.locator(".plot.loss text[text-anchor=end]:not(.level)").all_text_contents()
    ticks = [float(text) for text in labels]
    grid = numbers(shown.page, ".plot.loss line.grid", "y1")
    slopes = [
        (grid[i] - grid[i + 1]) / math.log(ticks[i + 1] / ticks[i]) for i in range(len(grid) - 1)
    ]
    assert max(slopes) == pytest.approx(min(slopes))


@pytest.mark.parametrize("known", [0, 1, 2])
def test_a_run_that_has_just_begun(bare: Bare, known: int) -> None:
    data = one_run(train=[], exact=[], unigram=None, untrained=None)
    data["evaluation"] = data["evaluation"][:known]
    shown = bare(LIVE, data)
    expect(shown.page.locator(".plot.loss circle.evaluation")).to_have_count(known)
    expect(shown.page.locator(".verdict")).to_have_text("")
    shown.page.locator(".plot.loss").focus()
    shown.press("End", "+", "ArrowLeft", "0")
    assert range_shown(shown) == "0 to 2000"


def test_what_the_loss_means_is_said_against_the_baselines(bare: Bare) -> None:
    verdict = bare(LIVE, one_run(untrained=0.1)).page.locator(".verdict")
    expect(verdict).to_contain_text("no better than untrained (0.100)")
    for uniform, unigram, says in (
        (3.3, 2.9, "below guessing by frequency (2.90)"),
        (3.3, 0.1, "not yet than guessing by frequency (0.100)"),
        (0.1, 0.05, "not yet better than a uniform guess (0.100)"),
    ):
        shown = bare(LIVE, one_run(uniform=uniform, unigram=unigram, evaluated_on=MARKUP))
        verdict = shown.page.locator(".verdict")
        # The verdict begins with the probability of the right token.
        expect(verdict).to_contain_text("Right token: 3.3 % → 79.7 % likely")
        expect(verdict).to_contain_text(says)
        expect(verdict).to_contain_text(MARKUP)
        expect(shown.page.locator(".legend")).to_contain_text(MARKUP)


# --- many runs --------------------------------------------------------------------------------


def rows(shown: BarePage) -> list[list[str]]:
    lines = shown.page.locator("tbody tr").all()
    return [line.locator("th, td").all_inner_texts() for line in lines]


def test_the_cursor_says_every_runs_values(bare: Bare) -> None:
    shown = bare(COMPARE, two_runs())
    caption, charts = shown.page.locator("caption"), shown.page.locator(".charts")
    expect(caption).to_have_text("The last value of each run")
    assert rows(shown) == [
        ["one", "1000", "0.207", "100.0 %", "0.207", "1.0e-6"],
        [MARKUP, "1000", "0.414", "50.0 %", "0.414", "1.0e-6"],
    ]
    charts.focus()
    shown.press("Home")
    expect(caption).to_have_text("The values nearest to step 0")
    assert [row[2] for row in rows(shown)] == ["3.1", "6.2"]
    shown.press("ArrowRight")  # to the next evaluation
    expect(caption).to_have_text("The values nearest to step 100")
    shown.press("Shift+ArrowRight")
    expect(caption).to_have_text("The values nearest to step 1000")
    expect(charts).to_have_attribute("aria-valuenow", "1000")
    values = f"one: loss 0.207, exact match 100.0 %; {MARKUP}: loss 0.414, exact match 50.0 %"
    expect(charts).to_have_attribute("aria-valuetext", f"{caption.inner_text()}. {values}")
    shown.press("Escape")
    expect(caption).to_have_text("The last value of each run")


def test_one_cursor_runs_through_all_charts(bare: Bare) -> None:
    shown = bare(COMPARE, two_runs())
    shown.page.locator(".plot").nth(3).hover(position={"x": 200, "y": 100})
    assert numbers(shown.page, "line.cursor", "x1") == pytest.approx([200] * 4, abs=1)
    expect(shown.page.locator("circle.run-0")).to_have_count(4)
    expect(shown.page.locator("circle.run-1")).to_have_count(4)
    shown.page.mouse.move(0, 0)
    expect(shown.page.locator("line.cursor")).to_have_count(0)


def test_a_zoom_is_kept_while_runs_go_on(bare: Bare) -> None:
    shown = bare(COMPARE, two_runs())
    whole, charts = shown.page.locator("button"), shown.page.locator(".charts")
    expect(whole).to_be_disabled()
    drag(shown.page, ".plot", 100, 200)
    expect(whole).to_be_enabled()
    ends = [charts.get_attribute(f"aria-value{end}") for end in ("min", "max")]
    shown.draw(two_runs(5000, log_loss=True))
    assert [charts.get_attribute(f"aria-value{end}") for end in ("min", "max")] == ends
    whole.click()
    expect(charts).to_have_attribute("aria-valuemax", "5000")
    # Another unit of x ends the zoom: the range would be another one.
    drag(shown.page, ".plot", 100, 200)
    shown.draw(two_runs(5000, column=1, unit="seconds"))
    expect(charts).to_have_attribute("aria-valuemax", "100")
    expect(whole).to_be_disabled()


def test_what_was_not_measured_leaves_a_gap(bare: Bare) -> None:
    data = two_runs(log_x=True, log_loss=True)
    for point in data["runs"][0]["evaluation"]:
        point[4] = None
    data["runs"][1].update(train=[], evaluation=data["runs"][1]["evaluation"][3:4])
    shown = bare(COMPARE, data)
    assert [row[1:4] for row in rows(shown)] == [
        ["1000", "0.207", "–"],
        ["300", "2.41", "15.0 %"],
    ]
    assert rows(shown)[1][4:] == ["–", "–"]
    # A run of one point is drawn as a dot; a logarithmic axis leaves out step 0.
    expect(shown.page.locator(".chart-0 circle.run-1")).to_have_count(1)
    expect(shown.page.locator(".charts")).to_have_attribute("aria-valuemin", "50")


@pytest.mark.parametrize("logarithmic", [False, True])
def test_runs_without_a_point(bare: Bare, logarithmic: bool) -> None:
    data = two_runs(log_x=logarithmic)
    for run in data["runs"]:
        run.update(train=[], evaluation=[])
    shown = bare(COMPARE, data)
    assert [row[1:] for row in rows(shown)] == [["–"] * 5] * 2
    shown.page.locator(".charts").focus()
    shown.press("Home", "ArrowLeft", "Escape")
    shown.page.locator(".plot").first.hover(position={"x": 200, "y": 100})
    expect(shown.page.locator("line.cursor")).to_have_count(4)


def test_a_baseline_names_the_runs_that_it_holds_for(bare: Bare) -> None:
    shown = bare(COMPARE, two_runs(), scheme="dark")
    lines = shown.page.locator(".baselines > span")
    expect(lines).to_have_text(["untrained model: 6.5", "uniform guess, ln|V|: 3.3"])
    expect(lines.first.get_by_role("img")).to_have_count(0)  # holds for all runs
    expect(lines.last.get_by_role("img", name=f"of {MARKUP}")).to_have_count(1)
    expect(shown.page.locator(".chart-0 polyline.baseline")).to_have_count(2)
    expect(shown.page.locator(".chart-1 polyline.baseline")).to_have_count(0)
    expect(shown.page.locator(".run_compare.dark")).to_have_count(1)

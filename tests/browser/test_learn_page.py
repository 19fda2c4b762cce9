"""The Learn page in a real browser: the map by mouse and keyboard, and parts taken out."""

import re

from playwright.sync_api import expect

from pages.components.shell.lessons import built_in, name_of
from tests.browser.conftest import NewPage
from tests.support.access import FRAME, PHONE, assert_fit_for_all
from tests.support.server import Server, settle


def test_the_map_is_walked_by_mouse_and_keyboard_and_the_address_follows(
    server: Server, new_page: NewPage
) -> None:
    page = new_page()
    page.goto(f"{server.url}/learn?checkpoint=sort&input=workbench")
    heading = page.get_by_role("heading", level=4)
    expect(heading).to_have_text("Embedding")
    settle(page)
    chosen = page.locator(".box[aria-pressed=true]")
    # By mouse: a box, the same box in another layer, a later step.
    page.locator(".box[data-place='decoder.N.cross.softmax']").click()
    expect(heading).to_have_text("Softmax: the weights")
    page.wait_for_url(re.compile(r"box=decoder\.0\.cross\.softmax"))
    page.get_by_role("button", name="Decoder, layer 2").click()
    expect(page.get_by_text("Decoder, layer 2, cross-attention · section 3.2.1")).to_be_visible()
    page.get_by_role("button", name="step 3, writes e").click()
    page.wait_for_url(re.compile(r"step=3"))
    expect(page.get_by_text("4 heads × 3 queries × 10 keys; each row sums to 1")).to_be_visible()
    expect(page.locator(".value_picture canvas")).to_have_count(4)
    # By keyboard: along the data flow to the next token, and up into the next step.
    chosen.focus()
    page.keyboard.press("ArrowRight")
    expect(heading).to_have_text("Mixing: weights times values")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(heading).to_have_text("Mask")
    page.keyboard.press("End")
    expect(heading).to_have_text("The next token")
    expect(page.locator(".bars th").first).to_have_text("e")
    page.keyboard.press("ArrowUp")
    expect(heading).to_have_text("Embedding")
    expect(chosen).to_be_focused()
    page.wait_for_url(re.compile(r"box=target\.embedding.*step=4|step=4.*box=target\.embedding"))
    page.go_back()
    expect(heading).to_have_text("The next token")
    settle(page)
    expect(chosen).to_have_attribute("data-place", "output.next")


def test_a_box_is_taken_out_and_the_link_opens_it_again(server: Server, new_page: NewPage) -> None:
    page = new_page()
    page.goto(f"{server.url}/learn?checkpoint=reverse&input=abcde&box=source.positions")
    page.get_by_text("Take it out, for this input").click()
    expect(page.get_by_text(re.compile("instead of edcba"))).to_be_visible()
    page.wait_for_url(re.compile("absent=yes"))
    absent = page.locator(".box.absent")
    expect(absent).to_have_attribute("data-place", "source.positions")
    settle(page)
    page.reload()
    expect(page.get_by_text(re.compile("instead of edcba"))).to_be_visible()
    expect(absent).to_have_count(1)
    expect(page.get_by_text(re.compile(r"^box \d+ of \d+, .*, taken out$"))).to_be_visible()
    # The next box is shown with nothing taken out.
    page.get_by_role("button", name="Next ▶").click()
    expect(page.get_by_role("heading", level=4)).to_have_text("Layer norm")
    expect(page.get_by_text(re.compile("instead of"))).to_have_count(0)
    expect(absent).to_have_count(0)
    # The code shown is the code of the source file.
    expect(page.get_by_text("centred = x - x.mean(dim=-1, keepdim=True)")).to_be_visible()


def test_an_experiment_is_predicted_by_keyboard_and_its_outcome_is_accessible(
    server: Server, new_page: NewPage
) -> None:
    page = new_page(width=PHONE)
    page.goto(f"{server.url}/learn?learn=experiments&experiment=scale")
    page.get_by_role("radio", name="most of it").focus()
    page.keyboard.press("Space")
    run = page.get_by_role("button", name="Run it")
    expect(run).to_be_enabled()
    run.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("What came out here")).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg").first).to_be_visible()
    expect(page.get_by_text("You predicted it:")).to_be_visible()
    settle(page)
    assert_fit_for_all(page)


def test_a_lessons_link_opens_a_tab_with_its_question_and_the_way_back(
    server: Server, new_page: NewPage
) -> None:
    page = new_page(scheme="dark")
    page.goto(f"{server.url}/learn?learn=lesson&part=3")
    question = "Where does each written letter look?"
    expect(page.get_by_text(question)).to_be_visible()
    with page.expect_popup() as opened:
        page.get_by_role("link", name="One head at work").click()
    tab = opened.value
    strip = tab.locator(".st-key-asked")
    expect(strip).to_contain_text(question)
    # The question stays on the tab's next page; its link leads back to its step of the lesson.
    tab.get_by_test_id("stSidebar").get_by_role("link", name="Decode", exact=True).click()
    expect(tab.get_by_role("heading", name="Decode", level=1)).to_be_visible()
    expect(tab.locator(".decoding_steps").first).to_be_visible()
    expect(strip).to_contain_text(question)
    settle(tab)
    assert_fit_for_all(tab, "the question", (*FRAME, ".decoding_steps"))
    tab.get_by_role("link", name="Back to the lesson").click()
    expect(tab.get_by_role("link", name="One head at work")).to_be_visible()
    expect(strip).to_have_count(0)
    # On the Learn page the tabs stand beside the title and do not cover the question.
    tab.goto(
        f"{server.url}/learn?checkpoint=sort&input=abc&asked={name_of(built_in().exercises[0])}"
    )
    expect(tab.get_by_role("heading", level=4)).to_be_visible()
    settle(tab)
    tab.get_by_role("link", name="Back to the lesson").click()
    first = tab.get_by_role("link", name="The vectors of a word")
    expect(first).to_be_visible()
    expect(strip).to_have_count(0)
    # Pressing the open tab again keeps it open.
    tab.locator(".st-key-learn").get_by_text("Lesson", exact=True).click()
    settle(tab)
    expect(first).to_be_visible()
    tab.close()

"""Any typed input or address gets an answer or one clear sentence, and no input is lost."""

import pytest

from tests.support.opened_pages import messages, open_page

pytestmark = pytest.mark.usefixtures("own_folder")

TEXTS = {
    "": "Type an input above",
    "a" * 10_000: "this model reads at most 127",
    "🙂": "does not know 🙂",
    "ABC": "does not know A, B, C. Try lower case.",
    "<b>bold</b><script>alert(1)</script>": "does not know <, >, /",
    "**x** `y` $z$ :smile:": "does not know *, ␣, `",
    "a\u202eb\u200b": "does not know U+202E, U+200B",
    "q": None,
}


def shown(text: str) -> str:
    """The sentence as a user reads it: the codes that escape markup are decoded."""
    for mark in "*<>`,/.+_":
        text = text.replace(f"&#{ord(mark)};", mark)
    return text


@pytest.mark.parametrize("name", ["attention", "decode"])
def test_any_text_gets_its_answer_or_one_sentence(name: str) -> None:
    app = open_page(name, checkpoint="reverse")
    for text, sentence in TEXTS.items():
        app.text_input(key="input").set_value(text).run()
        assert not app.exception
        said = [shown(one.value) for one in (*app.error, *app.warning, *app.info)]
        if sentence is None:
            assert said == []
            assert any(f"The model writes `{text}`" in block.value for block in app.markdown)
        else:
            [one] = said
            assert sentence in one
        assert app.text_input(key="input").value == text


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ({"checkpoint": "gone"}, "The checkpoint gone is not here"),
        ({"checkpoint": "../../etc/passwd"}, "is not here"),
        ({"checkpoint": "reverse", "prefix": "9999"}, "tokens that this model does not have"),
        ({"checkpoint": "reverse", "prefix": "1.x.-3"}, "tokens that this model does not have"),
    ],
)
def test_a_wrong_address_is_named(query: dict[str, str], sentence: str) -> None:
    app = open_page("decode", **query)
    assert any(sentence in shown(one) for one in messages(app))
    assert app.selectbox(key="checkpoint").options


def test_what_the_address_cannot_mean_is_named_and_left_out() -> None:
    ways = {"temperature": "0", "top_k": "-3", "top_p": "nan", "seed": "x"}
    places = {"look": "9.99", "beside": "<script>", "part": "nowhere", "step": "-4"}
    branches = {"branches": "99999~1*2_3~x!y"}
    app = open_page("decode", checkpoint="reverse", input="abc", **ways, **places, **branches)
    assert not app.exception
    said = messages(app)
    assert len(said) == len(ways)
    assert all(any(name in shown(one) for one in said) for name in ways)
    assert any("The model writes `cba`" in block.value for block in app.markdown)


@pytest.mark.parametrize("step", ["999999999999", "x"])
def test_a_step_that_is_not_there_is_no_fault(step: str) -> None:
    app = open_page("decode", checkpoint="reverse", input="abc", step=step)
    assert not app.exception
    assert messages(app) == []


def test_a_true_target_longer_than_any_learned_is_named() -> None:
    text = "jump around right thrice after jump around left thrice"
    app = open_page("decode", checkpoint="scan-length", input=text)
    said = "The true target has 48 tokens; its training targets had at most 22"
    assert any(said in shown(one.value) for one in (*app.error, *app.warning, *app.info))


NONSENSE = {
    "strategies": {"beam": "99", "alpha": "nan"},
    "why": {"this": "abc", "not": "-5"},
    "what_if": {
        "change": "force",
        "heads": "9.9",
        "input_token": "77",
        "when": "never",
        "instead": "9999999999",
    },
}


@pytest.mark.parametrize("part", NONSENSE)
def test_a_panel_with_a_bad_address_falls_back(part: str) -> None:
    app = open_page("decode", checkpoint="sort", input="workbench", part=part, **NONSENSE[part])
    assert not app.exception
    assert messages(app) == []
    assert any("(CSV)" in button.label for button in app.button)

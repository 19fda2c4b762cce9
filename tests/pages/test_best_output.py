"""The Decode page says if a better output exists, and if the model or the search is at fault."""

import pytest

from pages.components.decoding.best_output import sentences
from tests.support.opened_pages import messages, open_page
from tests.support.places import bundled_file
from transformer.checkpoint import Checkpoint
from transformer.decoding.exact import Exact


def test_all_outputs_are_searched_when_it_is_asked() -> None:
    app = open_page("decode", checkpoint="sort", input="banana", part="strategies")
    assert not messages(app)
    [button] = [one for one in app.button if one.label.startswith("Is there a better output")]
    button.click().run()
    assert not messages(app)
    [told] = [one.value for one in app.markdown if one.value.startswith("**There is none.**")]
    assert "`aaabnn`" in told
    # The result is still there after a rerun.
    app.run()
    assert any(one.value == told for one in app.markdown)


@pytest.mark.parametrize(
    ("found", "greedy", "wanted", "told"),
    [
        ("ab", "ab", "ab", "It is right."),
        ("ab", "ab", "ba", "the error is the model's."),
        ("ba", "ab", "ba", "a search error. It is right."),
        ("ba", "ab", "", "a search error."),
    ],
)
def test_an_error_is_the_searchs_or_the_models(
    found: str, greedy: str, wanted: str, told: str
) -> None:
    checkpoint = Checkpoint.load(bundled_file("sort"))
    end = checkpoint.config.eos_id

    def ids(text: str) -> tuple[int, ...]:
        return (*checkpoint.target_vocabulary.encode(text), end) if text else ()

    best = Exact(ids(found), -0.1, -9.0, 12, proven=True)
    sentence = sentences(checkpoint, best, ids(greedy), ids(wanted))
    assert sentence.endswith(told)
    assert "after 12 prefixes" in sentence


def test_a_search_that_gave_up_proves_nothing() -> None:
    checkpoint = Checkpoint.load(bundled_file("sort"))
    ids = (*checkpoint.target_vocabulary.encode("ab"), checkpoint.config.eos_id)
    unproven = sentences(checkpoint, Exact(ids, -3.0, -9.0, 2000, proven=False), ids, ())
    assert unproven.startswith("**Not proven:** the search gave up after 2,000 prefixes.")
    nothing = sentences(checkpoint, Exact((), -9.0, -9.0, 2000, proven=False), ids, ())
    assert nothing.startswith("**No output with an end was found**")

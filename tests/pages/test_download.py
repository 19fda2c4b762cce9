"""Files that are made at a click: one that cannot be made is reported once, not at every rerun."""

from streamlit.testing.v1 import AppTest


def page() -> None:
    from pages.components.shared.download import download

    def make() -> bytes:
        raise ValueError("no room")

    download("Table", make, "table.csv")


def test_a_file_that_cannot_be_made_is_said_once() -> None:
    app = AppTest.from_function(page).run()
    app.button(key="download Table table.csv").click().run()
    assert len(app.exception) == 1
    assert not app.run().exception

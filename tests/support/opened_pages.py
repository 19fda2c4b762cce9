"""Pages through Streamlit's own test runner."""

from pathlib import Path

from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).resolve().parents[2]


def open_page(name: str = "", **query: str) -> AppTest:
    # From app.py first, as Streamlit then knows all pages; the test runner needs that.
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.run()
    if name:  # by a link of its own, with nothing chosen before
        app.query_params.clear()
        app.session_state["current model"] = ""
    for key, value in query.items():
        app.query_params[key] = value
    if name:
        app.switch_page(f"pages/{name}.py").run()
    return app


def messages(app: AppTest) -> list[str]:
    return [element.value for element in (*app.error, *app.warning)]

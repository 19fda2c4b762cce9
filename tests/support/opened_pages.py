"""Opens pages in Streamlit's own test runner."""

from functools import cache

from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from pages.components.training.form import EXPERT, SETTINGS
from tests.support.places import ROOT

# Each AppTest reads the metadata of all installed packages, which takes as long as a page.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)


def open_page(name: str = "", **query: str) -> AppTest:
    """A page by its name, in a new session; the overview by default."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    for key, value in query.items():
        app.query_params[key] = value
    if name:
        app.switch_page(f"pages/{name}.py")
    return app.run()


def messages(app: AppTest) -> list[str]:
    return [element.value for element in (*app.error, *app.warning)]


def unfold_settings(app: AppTest) -> AppTest:
    """Open the form's settings: only then are they drawn."""
    app.session_state[SETTINGS] = app.session_state[EXPERT] = True
    return app.run()

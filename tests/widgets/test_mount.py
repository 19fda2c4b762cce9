"""How ``Widget.draw`` passes data to a component."""

import pytest

from pages.components.shell import mount
from pages.components.shell.mount import Widget


def test_a_dictionary_goes_in_a_list_and_bytes_as_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[object] = []
    monkeypatch.setattr(mount, "_registered", lambda widget: lambda **given: sent.append(given))
    for data in ({"numbers": [1, 2]}, b"packed", None):
        Widget("live_curve").draw(data=data, key="curve")
    assert [given["data"] for given in sent] == [[{"numbers": [1, 2]}], b"packed", None]  # type: ignore[index]
    script = Widget("live_curve").script_in_streamlit
    assert "component.data[0]" in script
    assert script.count("export default") == 1

"""Stands in for browser.visible, browser.may_control, browser.token_hash and training_form.link_of
until they are here; then this file goes and they are called directly."""

import importlib
from collections.abc import Sequence
from typing import Any

from transformer.config import RunConfig
from transformer.runs import Run


def _browser() -> Any:
    try:
        return importlib.import_module("pages.components.browser")
    except ImportError:
        return None


def visible(found: Sequence[Run]) -> list[Run]:
    browser = _browser()
    return list(browser.visible(found) if browser else found)


def may_control(run: Run) -> bool:
    browser = _browser()
    return bool(browser.may_control(run)) if browser else True


def token_hash() -> str:
    browser = _browser()
    return str(browser.token_hash()) if browser else ""


def link_of(config: RunConfig) -> dict[str, str]:
    from pages.components import training_form

    known = getattr(training_form, "link_of", None)
    link: dict[str, str] = known(config) if known else {"task": config.data.task}
    return link

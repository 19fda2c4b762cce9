"""The browsers that tests share: each test gets a clean one, and every fault is reported."""

from playwright.sync_api import Browser

from tests.browser.conftest import Person
from tests.support.server import Server, settle

KEPT = """() => [
  localStorage.getItem('mine'), sessionStorage.getItem('mine'),
  document.cookie.includes('mine=yes'),
  matchMedia('(prefers-color-scheme: dark)').matches, innerWidth,
]"""


def test_who_leaves_leaves_nothing_behind(server: Server, browser: Browser) -> None:
    person = Person(browser)
    page = person.arrive(400, "dark")
    page.goto(f"{server.url}/runs")
    settle(page)
    page.evaluate(
        "() => { localStorage.mine = sessionStorage.mine = 'yes'; document.cookie = 'mine=yes'; }"
    )
    assert page.evaluate(KEPT) == ["yes", "yes", True, True, 400]
    person.context.new_page().goto(f"{server.url}/_stcore/health")
    person.leave()
    assert person.context.pages == [page]
    assert person.arrive(1280, "light") is page
    page.goto(f"{server.url}/_stcore/health")
    assert page.evaluate(KEPT) == [None, None, False, False, 1280]
    # A closed page is replaced by a new one.
    page.close()
    person.leave()
    assert not person.arrive(1280, "light").is_closed()
    assert not person.faults
    person.context.close()


def test_errors_and_requests_to_others_are_faults_in_every_tab(
    server: Server, browser: Browser
) -> None:
    person = Person(browser)
    for page in (person.arrive(1280, "light"), person.context.new_page()):
        page.goto(f"{server.url}/_stcore/health")
        page.evaluate("() => { setTimeout(() => { throw new Error('broken'); }); }")
        page.evaluate("() => fetch('http://other.invalid/').catch(() => null)")
        page.wait_for_timeout(100)
        errors = [fault for fault in person.faults if "broken" in fault]
        assert len(errors) == len(person.faults) - len(errors) == 1, person.faults
        assert "left the machine: http://other.invalid/" in person.faults
        person.faults.clear()
    person.context.close()

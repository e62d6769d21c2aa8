"""First level's page in a real browser: from the sign-in to the confirmed plan by keyboard alone, on a phone and a
desk."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from reconnect.ansible import inventory
from reconnect.ansible.project import Project
from reconnect.incidents.client_report import ClientReport
from reconnect.result import Result, now
from reconnect.runs.request import FIX, Asked
from reconnect.runs.store import Run
from reconnect.service import app
from reconnect.service.desk import CHECK_WATCH, Desk
from reconnect.service.people import Person
from reconnect.service.selfcheck.links import About
from reconnect.settings import Settings

from . import browser
from .browser import Browser

pytestmark = [pytest.mark.hosts(), pytest.mark.skipif(bool(browser.missing), reason=browser.missing)]

PASSWORD = "correct horse battery"
#: Keys, as WebDriver calls them.
TAB, ENTER, DOWN = "\ue004", "\ue007", "\ue015"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Desk]]:
    """The service of a site with two servers; no worker carries its runs out."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "inventory").mkdir()
    (folder / "playbooks").mkdir()
    (folder / "playbooks" / "fix-account-config.yml").touch()
    groups = {"servers": frozenset({"alpha", "beta"})}

    def load(source: Path, project: Project, memory: Path | None = None) -> inventory.Inventory:
        return inventory.Inventory(source, groups["servers"], groups, "0" * 64)

    made = app.create(Project(folder), Settings(state_dir=folder / "state", inventory=folder / "inventory"))
    made.state.desk.people.add_user("ann", "first_level", PASSWORD, "en", "test")
    # Browsers give the session's cookie to localhost, too.
    server = uvicorn.Server(uvicorn.Config(made, host="localhost", port=0, log_config=None))
    thread = threading.Thread(target=server.run, daemon=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inventory, "load", load)
        thread.start()
        until(lambda: server.started)
        yield f"http://localhost:{server.servers[0].sockets[0].getsockname()[1]}", made.state.desk
        server.should_exit = True
        thread.join(20)


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def fits(here: Browser, width: int) -> bool:
    return bool(here.run("return document.documentElement.scrollWidth") <= width)


def nameless(here: Browser) -> list[str]:
    """Controls and pictures that a screen reader has no name for."""
    return list(
        here.run(
            "return [...document.querySelectorAll('svg[role=img], button, input:not([type=hidden]), select, section,"
            " [role=group]')].filter(one => !(one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')"
            " || one.labels?.[0]?.textContent.trim() || one.textContent.trim())).map(one => one.outerHTML)"
        )
    )


def to(here: Browser, selector: str) -> None:
    """Press the tabulator until the element has the focus."""
    for _ in range(40):
        if here.run("return document.activeElement.matches(arguments[0])", selector):
            return
        here.press(TAB)
    raise AssertionError(f"no key leads to {selector}")


def shown(here: Browser, desk: Desk) -> Run:
    """The run whose page is open."""
    run = desk.runs.get(here.run("return location.pathname").rpartition("/")[2])
    assert run is not None
    return run


def end(run: Run, *more: dict[str, str]) -> None:
    """Ends a run as a worker would, with a plan for the account, and with `more` steps."""
    at = now()
    step: dict[str, Any] = {"remedy": "fix_account", "role": "account", "cause": "account_missing", "policy": "auto"}
    step |= {"decision": "planned", "changes": ["-context: old", "+context: new"]}
    steps = [step, *({"cause": "account_missing"} | one for one in more)]
    verdict = {"outcome": "fault_found", "plan": steps, "user_message": {"id": "user.engineers"}}
    stamps = {"started_at": at, "finished_at": at, "verdict": verdict}
    result = {"run_id": run.run_id, "state": "succeeded", "playbook": "p", "mode": "diagnose", "server": "alpha"}
    run.record.finished_at, run.record.exit_code, run.record.endings = at, 10, {"alpha": "fault_found"}
    run.finish([Result.model_validate(result | stamps)], "report")


@pytest.mark.parametrize("width", [390, 1280])
def test_an_account_is_fixed_by_keyboard_alone(served: tuple[str, Desk], width: int) -> None:
    address, desk = served
    with Browser() as here:
        here.screen(width)
        here.go(address)
        # The first field has the focus.
        for key in f"ann{TAB}{PASSWORD}{ENTER}":
            here.press(key)
        until(lambda: here.run("return document.activeElement.id") == "for")
        assert fits(here, width)
        assert nameless(here) == []
        for key in f"100{width}":
            here.press(key)
        to(here, "#server")
        here.press(DOWN)
        to(here, "button.main")
        here.press(ENTER)
        until(lambda: here.run("return location.pathname").startswith("/runs/"))
        run = shown(here, desk)
        assert (run.record.request.account, run.record.request.servers) == (f"100{width}", ["alpha"])
        until(lambda: desk.streams == 1)
        run.happened("step", "alpha", step="Gather <b>evidence</b>", state="ok")
        until(lambda: "Gather <b>evidence</b> alpha · ok" in here.text)
        assert fits(here, width)
        end(run)
        until(lambda: here.run("return document.activeElement.id") == "verdict")
        assert "What to tell the user" in here.text
        assert "I nostri tecnici stanno esaminando il problema." in here.text
        assert fits(here, width)
        assert nameless(here) == []
        to(here, "button.main")
        assert here.run("return document.activeElement.textContent") == "Correct the account (alpha)"
        here.press(ENTER)
        until(lambda: f"/runs/{run.run_id}" not in here.run("return location.pathname"))
        applied = shown(here, desk)
        assert (applied.record.request.mode, applied.record.request.plan_of) == ("apply", run.run_id)
        assert here.run("return performance.getEntriesByType('resource').every(one => one.name.startsWith(origin))")


def test_no_screen_keeps_anybody_out(served: tuple[str, Desk]) -> None:
    address, desk = served
    desk.people.add_user("bob", "second_level", PASSWORD, "it", "test")

    def begin(account: str) -> Run:
        person = Person("ann", "first_level")
        return desk.begin(Asked(playbook=FIX, servers=["alpha"], account=account), ClientReport(), person, "page", "")

    ended, running = begin("2001"), begin("3001")
    end(ended, {"remedy": "restart_asterisk", "role": "service", "decision": "approval", "policy": "approve"})
    kept = ended.kept()
    assert kept is not None
    assert kept.plan_hash is not None
    desk.plans.request(ended, kept.plan_hash, "ann", None, "")
    desk.guards.hold(["beta"], "a new release", "bob")
    screens = ["/", "/runs", "/servers", "/approvals", "/outbox", "/audit", "/statistics", "/runs?ending=none"]
    screens += [f"/runs/{one.run_id}" for one in (ended, running)]
    with Browser() as here:
        here.go(f"{address}/sign-in")
        assert here.barriers() == []
        here.type("#name", "bob")
        here.type("#password", PASSWORD + ENTER)
        until(lambda: here.run("return document.activeElement.id") == "for")
        for path in screens:
            here.go(address + path)
            assert here.run("return document.documentElement.lang") == "it"
            for width, dark in ((390, True), (1280, False)):
                here.screen(width, dark)
                assert here.barriers() == [], (path, width)
                assert fits(here, width), (path, width)


def test_the_users_browser_checks_itself(served: tuple[str, Desk]) -> None:
    address, desk = served
    # Another name of the service, which leads to IPv4 alone, and one at which nobody answers.
    port = address.rpartition(":")[2]
    desk.settings.service.check_ipv4 = f"http://127.0.0.1:{port}"
    desk.settings.service.check_provisioning = "http://127.0.0.1:1"
    secret, _ = desk.link(About("alpha", "1007", None), Person("ann", "first_level"), "")
    with Browser() as here:
        here.screen(390)
        here.go(f"{address}/check/{secret}")
        assert nameless(here) == []
        to(here, "button.main")
        here.press(ENTER)
        until(lambda: "Open PrivateGSM now" in here.text)
        assert fits(here, 390)
        assert "Provisioning: not reached" in here.text
    (run,) = (one for one in desk.runs.newest() if one.record.request.account == "1007")
    report = run.client_report()
    assert report is not None
    assert run.record.request.watch == CHECK_WATCH
    assert (report["browser"]["ipv4"], "127.0.0.1" in report["browser"]["addresses"]) == (True, True)
    assert abs(report["browser"]["clock_offset"]) < 5

"""The page of a run in a real browser: what a person sees, on a phone and on a desk, with a mouse and without one."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge
from reconnect.reports.html import MAX_BYTES, page
from reconnect.result import Result
from reconnect.runs.record import Record
from reconnect.runs.request import Request
from trials.tools import ROOT

from . import browser
from .browser import Browser

pytestmark = [pytest.mark.hosts(), pytest.mark.skipif(bool(browser.missing), reason=browser.missing)]

RUN = {"run_id": "20260131-030000-0000000", "playbook": "diagnose-server.yml", "mode": "diagnose"}
#: Keys, as WebDriver calls them.
TAB, ENTER = "\ue004", "\ue007"
BEGAN = "2026-01-31T03:00:00Z"


@pytest.fixture(scope="module")
def here() -> Iterator[Browser]:
    with Browser() as one:
        yield one


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Pages of one server and of fifty, as real evidence of the lab's faults is judged."""
    folder = tmp_path_factory.mktemp("pages")
    return {number: written(folder / f"{number}.html", number) for number in (1, 50)}


def written(path: Path, number: int) -> Path:
    kept = [path for path in sorted((ROOT / "tests" / "evidence").glob("*.json.gz")) if "healthy" not in path.name]
    documents = {f"pbx{n:02}": json.loads(gzip.decompress(kept[n % len(kept)].read_bytes())) for n in range(number)}
    results = [
        Result.model_validate(
            {
                **RUN,
                **judge.judge(document),
                "state": "succeeded",
                "server": server,
                "started_at": BEGAN,
                "finished_at": "2026-01-31T03:00:07Z",
                "timeline": [{"at": BEGAN, "step": "Gather evidence", "state": "ok", "seconds": 3.5}],
            }
        )
        for server, document in documents.items()
    ]
    asked: dict[str, Any] = {
        "named": ["servers"],
        "servers": list(documents),
        "inventory": "i",
        "timeout": 300,
        "command": ["x"],
    }
    request = Request(playbook=RUN["playbook"], mode="diagnose", **asked)
    record = Record(run_id=RUN["run_id"], request=request, started_at=datetime.fromisoformat(BEGAN))
    path.write_text(page(record, results, documents), encoding="utf-8")
    assert path.stat().st_size < MAX_BYTES
    return path


def rows(here: Browser) -> int:
    """The findings that a person sees."""
    return int(here.run("return [...document.querySelectorAll('.list > li')].filter(one => one.offsetParent).length"))


@pytest.mark.parametrize("number", [1, 50])
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_the_screen_and_needs_no_network(
    here: Browser, pages: dict[int, Path], tmp_path: Path, number: int, dark: bool, width: int
) -> None:
    here.screen(width, dark)
    here.go(pages[number].as_uri())
    here.picture(tmp_path / "page.png")
    assert here.run("return document.documentElement.scrollWidth") <= width
    assert here.run("return performance.getEntriesByType('resource').length") == 0
    # The verdict is what is seen first.
    assert here.run("return document.querySelector('h1').getBoundingClientRect().bottom") < 300
    ground = here.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) < 384) == dark


def test_findings_are_filtered_and_searched(here: Browser, pages: dict[int, Path]) -> None:
    here.screen(1280)
    here.go(pages[1].as_uri())
    unwell = rows(here)
    here.click("fieldset label span")
    everything = rows(here)
    assert everything > unwell > 0
    here.type("input[type=search]", "dns")
    found = rows(here)
    assert 0 < found < everything
    assert here.run("return document.querySelector('.hits').textContent") == f"{found} of {everything}"


def test_keys_are_enough(here: Browser, pages: dict[int, Path]) -> None:
    here.screen(1280)
    here.go(pages[1].as_uri())
    here.press(TAB)
    assert here.run("return document.activeElement.textContent") == "To the findings"
    reached = set()
    for _ in range(20):
        here.press(TAB)
        reached.add(here.run("const one = document.activeElement; return one.type || one.tagName"))
    assert {"SUMMARY", "radio", "search"} <= reached
    here.run("document.querySelector('.list summary').focus()")
    here.press(ENTER)
    assert here.run("return document.activeElement.parentElement.open") is True


def test_every_picture_and_control_has_a_name(here: Browser, pages: dict[int, Path]) -> None:
    for number in (1, 50):
        here.go(pages[number].as_uri())
        nameless = here.run(
            "return [...document.querySelectorAll('svg[role=img], button, input, [role=group], section, article')]"
            ".filter(one => !(one.getAttribute('aria-label') || one.getAttribute('aria-labelledby')"
            " || one.labels?.[0]?.textContent.trim() || one.textContent.trim())).map(one => one.outerHTML)"
        )
        assert nameless == []
        pointed = here.run(
            "return [...document.querySelectorAll('[aria-labelledby]')].flatMap(one => one.getAttribute("
            "'aria-labelledby').split(' ')).filter(id => !document.getElementById(id))"
        )
        assert pointed == []


def test_a_group_leads_to_each_server(here: Browser, pages: dict[int, Path]) -> None:
    here.screen(1280)
    here.go(pages[50].as_uri())
    assert here.run("return document.querySelectorAll('.overview tbody tr').length") == 50
    here.click(".overview tbody a")
    assert here.run("return document.querySelector('.server details').open") is True


@pytest.mark.parametrize("width", [390, 1280])
def test_every_server_of_a_group_has_its_details(
    here: Browser, pages: dict[int, Path], tmp_path: Path, width: int
) -> None:
    here.screen(width)
    here.go(pages[50].as_uri())
    assert "leaves out" not in here.text.replace("leaves out the longer parts of the evidence", "")
    here.run("for (const one of document.querySelectorAll('.server > details')) one.open = true")
    deadline = time.monotonic() + 30
    while here.run("return document.querySelectorAll('[data-part]').length"):
        assert time.monotonic() < deadline
    for what in ("svg.path.lying", ".list > li[data-status=pass]", ".timeline", "pre", ".command button"):
        assert here.run(f"return document.querySelectorAll('article:has({what})').length") == 50, what
    assert here.run("return document.documentElement.scrollWidth") <= width
    assert here.run("return performance.getEntriesByType('resource').length") == 0
    # A picture cannot be as high as all of it.
    here.run("for (const one of document.querySelectorAll('.server:not(:has(#s2)) > details')) one.open = false")
    here.picture(tmp_path / "page.png")
    # What is unfolded is alive.
    here.type("#s2 input[type=search]", "dns")
    assert " of " in here.run("return document.querySelector('#s2 .hits').textContent")

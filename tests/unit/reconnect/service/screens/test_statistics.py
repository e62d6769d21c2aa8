"""The statistics: each plot with a table that says the same, in both languages."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from reconnect.ansible import judging
from reconnect.runs.store import Run
from reconnect.service.screens import statistics

from ..conftest import plan_step
from .conftest import Seat
from .test_screens import begun


@pytest.fixture
def counted(seat: Callable[..., Seat], ended: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "causes", lambda project: {})
    asker = seat(name="asker")
    for account in ("1001", "1002"):
        ended(begun(asker, **{"for": account}), plan_step())
    wrong = ended(begun(asker, **{"for": "1003"}), plan_step())
    wrong.mark_wrong("alpha", "peer_stale")


def test_a_plot_and_its_table_say_the_same(seat: Callable[..., Seat], counted: None) -> None:
    text = seat("second_level").get("/statistics").text
    plot = text.partition('<svg class="weeks"')[2].partition("</svg>")[0]
    table = text.partition("<table")[2].partition("</table>")[0]
    assert ">3</text>" in plot
    # Whoever sees no colour sees the hatch of what needs somebody.
    assert 'height="160.0" fill="url(#hatch)"' in plot
    assert re.search(r"</th><td>0</td><td>3</td></tr>", table)
    assert len(re.findall("<tr>", table)) == 1 + 12
    assert "the fault is known and not fixed</bdi></th><td>3</td>" in text
    assert "<dd>2 / 3 (67 %)</dd>" in text
    assert "<dd>0 / 0</dd>" in text
    assert "style=" not in text


def test_the_words_are_italian_for_who_reads_italian(seat: Callable[..., Seat], counted: None) -> None:
    text = seat("second_level", language="it").get("/statistics").text
    assert '<h2 id="weekly">Risultati per settimana</h2>' in text
    assert "Verdetti definiti errati" in text


def test_a_site_without_runs_says_so(seat: Callable[..., Seat]) -> None:
    assert '<svg class="weeks"' not in seat("second_level").get("/statistics").text


def test_a_time_is_said_in_its_unit() -> None:
    said = [statistics._lasting(seconds) for seconds in (None, 0, 119, 120, 7199, 7200, 200_000)]
    assert said == ["–", "0 s", "119 s", "2 min", "120 min", "2 h", "56 h"]

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import random
import re
import zlib
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from reconnect.reports.html import MAX_BYTES, page
from reconnect.reports.path import STATIONS, stations_of
from reconnect.result import Result
from reconnect.runs.record import Record
from reconnect.runs.request import Request

from ..conftest import Workplace

_VOID = {"meta", "link", "br", "input", "img", "hr"}
_SVG = {"use", "path", "circle", "rect", "text", "title", "desc", "symbol", "defs", "g"}
CANARY = "Kanarienvogel7"
HOSTILE = (
    "<script>alert(1)</script>{{ 7*7 }}{% raw %}\x1b[31m\u202e\u061c\u3164\U000e0041gnp.exe\"'><img src=x onerror=y>"
)


class Page(HTMLParser):
    """The page as a browser would take it apart; asserts that every tag is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.contents: dict[str, list[str]] = {}
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _SVG | _VOID
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        self.contents.setdefault(inside, []).append(data)
        if inside not in {"script", "style"}:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def record(servers: list[str]) -> Record:
    request = Request(
        playbook="diagnose-server.yml",
        mode="apply",
        named=servers[:1],
        servers=servers,
        inventory="inventory",
        timeout=300,
        command=["diagnose-server", *servers[:1]],
    )
    return Record(run_id="20260131-030000-0000000", request=request, started_at=datetime(2026, 1, 31, 3, tzinfo=UTC))


def finding(code: str, status: str = "pass", **more: object) -> dict[str, object]:
    return {"code": code, "status": status, "subject": "network", "summary": f"About {code}.", **more}


def result(server: str = "pbx22", **more: object) -> Result:
    cause = {
        "cause": "database_stopped",
        "subject": "database",
        "title": "The database is stopped",
        "summary": "mariadb.service is inactive.",
        "policy": "auto",
    }
    fields = {
        "run_id": "20260131-030000-0000000",
        "state": "succeeded",
        "playbook": "diagnose-server.yml",
        "mode": "apply",
        "server": server,
        "started_at": "2026-01-31T03:00:00Z",
        "finished_at": "2026-01-31T03:00:04Z",
        "verdict": {
            "outcome": "fault_found",
            "root_causes": [cause],
            "plan": [
                {
                    "remedy": "restart_database",
                    "cause": "database_stopped",
                    "policy": "auto",
                    "decision": "planned",
                    "reason": "Nothing is changed without --apply.",
                }
            ],
            "next_step": "Restart it.",
        },
        "findings": [
            finding("dns.a", vantage="control"),
            finding("path.tcp", vantage="control"),
            finding("path.tcp", "fail", vantage="phone"),
            finding("tls.trust", "warn", vantage="phone"),
            finding("sip.options", "unknown", vantage="phone"),
            finding("database.process", "fail", subject="database", cause="database_stopped"),
        ],
        "remedies": [],
        "timeline": [{"at": "2026-01-31T03:00:01Z", "step": "Gather evidence", "state": "ok", "seconds": 1.0}],
    }
    return Result.model_validate({**fields, **more})


def shown(*results: Result, **more: Any) -> tuple[str, Page]:
    text = page(record([one.server for one in results]), results, **more)
    return text, Page(text)


def test_nothing_is_loaded_and_only_its_own_script_may_run() -> None:
    text, parsed = shown(result())
    policies = [meta["content"] for meta in parsed.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert len(policies) == 1
    allowed = dict(part.strip().split(" ", 1) for part in str(policies[0]).split(";"))
    assert allowed.keys() == {"default-src", "style-src", "script-src", "base-uri", "form-action"}
    assert allowed["default-src"] == allowed["base-uri"] == allowed["form-action"] == "'none'"
    for tag in ("style", "script"):
        whole = "".join(parsed.contents[tag])
        digest = base64.b64encode(hashlib.sha256(whole.encode()).digest()).decode()
        assert allowed[f"{tag}-src"] == f"'sha256-{digest}'"
        assert len(parsed.all(tag)) == 1
    for _, attributes in parsed.tags:
        assert not {"src", "srcset", "style", "action"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
        assert str(attributes.get("href", "#")).startswith("#")
    assert "http:" not in text
    assert "https:" not in text


def test_landmarks_labels_and_ids_are_there_for_those_who_do_not_see() -> None:
    _, parsed = shown(result())
    assert [len(parsed.all(tag)) for tag in ("main", "h1", "footer", "title")][:3] == [1, 1, 1]
    assert parsed.all("html")[0]["lang"] == "en"
    ids = [attributes["id"] for _, attributes in parsed.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for _, attributes in parsed.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(str(attributes.get(name) or "").split()) <= set(ids)
        if str(attributes.get("href", "")).startswith("#"):
            assert str(attributes["href"])[1:] in ids
    for svg in parsed.all("svg"):
        assert svg.get("aria-hidden") == "true" or svg.get("role") == "img"


def test_the_path_is_drawn_with_a_sign_for_each_condition() -> None:
    text, parsed = shown(result())
    pictures = re.findall(r'<svg class="path (?:lying|standing)".*?</svg>', text, re.DOTALL)
    assert len(pictures) == 2
    for picture in pictures:
        assert all(f">{station}</text>" in picture for station in STATIONS if station != "proxy")
        assert picture.count('href="#m-broken"') == 2
        assert all(f"#m-{sign}" in picture for sign in ("fine", "affected", "warned", "unknown", "unseen"))
        assert all(vantage in picture for vantage in ("control", "phone", "on pbx22"))
        assert 'class="cross"' in picture
    assert "database: the fault is here" in parsed.text


def test_a_proxy_is_a_station_where_one_was_seen() -> None:
    seen = finding("sip.proxy", "fail", subject="network")
    names = [[one.name for one in stations_of(result(findings=found))] for found in ([seen], [])]
    assert names == [list(STATIONS), [one for one in STATIONS if one != "proxy"]]
    cause = {"cause": "proxy_down", "subject": "network", "title": "A proxy", "summary": "No.", "policy": "human"}
    verdict = {"outcome": "escalate_third_level", "root_causes": [cause], "next_step": "Look."}
    broken = [one.name for one in stations_of(result(verdict=verdict, findings=[])) if one.condition == "broken"]
    assert broken == ["proxy"]


def test_a_cause_that_nobody_knows_lies_at_no_station() -> None:
    cause = {
        "cause": "unknown_cause",
        "subject": "database",
        "title": "Unknown cause",
        "summary": "About database.lookup.",
        "policy": "human",
    }
    verdict = {"outcome": "escalate_third_level", "root_causes": [cause], "next_step": "Look."}
    seen = finding("database.lookup", "fail", subject="database")
    stations = {one.name: one.condition for one in stations_of(result(verdict=verdict, findings=[seen]))}
    assert {name: condition for name, condition in stations.items() if condition != "unseen"} == {
        "database": "affected"
    }


def test_what_is_told_is_what_the_other_reports_tell() -> None:
    _, parsed = shown(result())
    for words in (
        "The fault is known and not fixed",
        "The database is stopped: database_stopped",
        "Restart it.",
        "reconnect diagnose-server pbx22 --apply",
        "Gather evidence",
    ):
        assert words in parsed.text


@pytest.mark.attack("secrets on a page", harm="leak")
def test_a_change_is_told_and_its_secrets_are_not() -> None:
    remedy = {
        "remedy": "fix_account",
        "state": "done",
        "before": {"password": "old-secret-1", "transport": "udp", "port": 5061},
        "after": {"password": CANARY, "transport": "tls", "port": 5061},
    }
    text, _ = shown(result(remedies=[remedy]), evidence={"pbx22": {"account": {"secret": CANARY}}})
    assert CANARY not in text
    assert "old-secret-1" not in text
    assert re.search(r'class="went".*transport: udp', text)
    assert re.search(r'class="came".*transport: tls', text)
    assert re.search(r'class="went".*password: •••', text)
    assert re.search(r'class="stayed".*port: 5061', text)


@pytest.mark.attack("secrets on a page", harm="leak")
def test_no_form_of_a_secret_is_on_a_page(forms: list[str]) -> None:
    found = [finding("dns.a", "fail", summary=form) for form in forms]
    text, _ = shown(result(error_message=forms[0], findings=found), evidence={"pbx22": {"host": {"log": forms}}})
    assert "Kanarienvogel7" not in text


@pytest.mark.attack("secrets on a page", harm="leak")
def test_a_known_secret_is_nowhere_however_it_is_written() -> None:
    secret = 'a<b>&"c'
    text, _ = shown(result(error_message=f"said {secret}"), secrets=[secret])
    assert secret not in text
    assert "a&lt;b&gt;" not in text


@pytest.mark.attack("scripts and markup on a page", harm="execution")
@pytest.mark.parametrize("where", ["error_message", "finding", "cause", "step", "remedy", "evidence", "server"])
def test_hostile_text_stays_text(where: str) -> None:
    verdict = result().model_dump()["verdict"]
    known: dict[str, dict[str, Any]] = {
        "error_message": {"error_message": HOSTILE},
        "finding": {"findings": [finding("dns.a", "fail", summary=HOSTILE, about=HOSTILE, vantage=HOSTILE)]},
        "cause": {"verdict": {**verdict, "user_message": HOSTILE, "next_step": HOSTILE}},
        "step": {"timeline": [{"at": "2026-01-31T03:00:01Z", "step": HOSTILE, "state": HOSTILE}]},
        "remedy": {
            "remedies": [
                {"remedy": "x", "state": "failed", "reason": HOSTILE, "before": {HOSTILE: 1}, "after": HOSTILE}
            ]
        },
        "evidence": {},
        "server": {"server": HOSTILE},
    }
    evidence = {"pbx22": {"host": {HOSTILE: [HOSTILE]}}} if where == "evidence" else {}
    text, parsed = shown(result(**known[where]), evidence=evidence)
    assert len(parsed.all("script")) == 1
    assert not parsed.all("img")
    assert "alert(1)" in parsed.text
    assert "{{ 7*7 }}" in parsed.text
    assert not set("\x1b\u202e\x9b\u061c\u3164\U000e0041") & set(text)


def test_a_text_of_a_megabyte_is_cut_with_a_note() -> None:
    text, parsed = shown(
        result(findings=[finding("dns.a", "fail", summary="x" * 1_000_000)]),
        evidence={"pbx22": {"host": {"log": "y" * 1_000_000}}},
    )
    assert len(text.encode()) < MAX_BYTES
    assert "[cut: 1,000,000 characters]" in parsed.text


@pytest.mark.parametrize("number", [2, 50, 200])
def test_a_group_has_an_overview_and_stays_small(number: int) -> None:
    many = [finding(f"host.unit{n}", "fail" if n % 3 else "pass", summary="s" * 200) for n in range(60)]
    results = [result(f"pbx{n}", findings=many) for n in range(number)]
    text, parsed = shown(*results)
    assert len(text.encode()) < MAX_BYTES
    assert f"{number} of {number} servers need attention" in parsed.text
    assert "fault found" in parsed.text
    assert any(table.get("class") == "overview" for table in parsed.all("table"))
    assert ("leaves out" in parsed.text) == (number > 50)
    if number == 50:
        assert [part.count("<li data-status=") for part in unpacked(text)] == [60] * 50


def unpacked(text: str) -> list[str]:
    """The parts of a packed page, as its script unfolds them."""
    [packed] = re.findall(r'<script type="text/plain" id="packed">(.*?)</script>', text, re.DOTALL)
    said, *parts = zlib.decompress(base64.b64decode(packed)).decode().split("\0")
    lines = said.split("\n")
    return ["\n".join(lines[at] for at in itertools.accumulate(map(int, part.split()))) for part in parts]


@pytest.mark.attack("secrets on a page", harm="leak")
def test_a_large_page_says_everything_and_no_secret() -> None:
    results = [
        result(f"pbx{n}", error_message=HOSTILE, findings=[finding("dns.a", "fail", summary=f"{HOSTILE} {CANARY} {n}")])
        for n in range(50)
    ]
    evidence = {
        one.server: {"host": {"password": "old-secret-1", "log": f"{n} {CANARY}"}} for n, one in enumerate(results)
    }
    text, _ = shown(*results, evidence=evidence, secrets=[CANARY])
    parts = unpacked(text)
    assert len(parts) == 50
    for n, part in enumerate(parts):
        parsed = Page(part)
        assert not parsed.all("script")
        assert not parsed.all("img")
        assert "{{ 7*7 }}" in parsed.text
        assert json.loads(parsed.contents["pre"][0])["log"] == f"{n} •••"
        assert f"••• {n}" in parsed.text
    assert "leaves out" not in text
    whole = text + "".join(parts)
    assert CANARY not in whole
    assert "old-secret-1" not in whole
    assert text == shown(*results, evidence=evidence, secrets=[CANARY])[0]


def test_only_evidence_that_is_too_long_is_left_out() -> None:
    random_lines = [[f"{random.Random(n * 1000 + m).getrandbits(256):x}" for m in range(900)] for n in range(50)]
    results = [result(f"pbx{n}") for n in range(50)]
    evidence = {f"pbx{n}": {"host": {"log": lines}, "settings": {"n": n}} for n, lines in enumerate(random_lines)}
    text, parsed = shown(*results, evidence=evidence)
    assert len(text.encode()) < MAX_BYTES
    assert "leaves out the longer parts of the evidence." in parsed.text
    assert all("sip.options" in part and "[cut: " in part for part in unpacked(text))


def test_servers_that_need_attention_come_first() -> None:
    well = result("aaa", verdict={"outcome": "healthy"}, findings=[])
    text, _ = shown(well, result("zzz"))
    assert text.index("<bdi>zzz</bdi>") < text.index("<bdi>aaa</bdi>")


def test_a_run_without_any_verdict_has_a_page() -> None:
    broken = result(state="failed", verdict=None, findings=[], timeline=[], error_message="A mistake in a playbook.")
    assert "A mistake in a playbook." in shown(broken)[1].text


def test_the_command_writes_the_page(workplace: Workplace) -> None:
    workplace.diagnose("alpha")
    file = workplace.folder / "page.html"
    ended = workplace.reconnect("report", "latest", "--html", str(file))
    assert ended.code == 0, ended.stderr
    assert ended.stdout == ""
    assert "alpha" in Page(file.read_text()).text
    assert file.stat().st_mode & 0o077 == 0
    assert workplace.reconnect("report", "latest", "--html", str(Path("/nonexistent/x"))).code == 2


def test_evidence_is_on_the_page_of_one_server() -> None:
    evidence = {"pbx22": {"host": {"os": {"ok": True, "data": {"id": "debian"}}}, "settings": {"sip_port": 5061}}}
    _, parsed = shown(result(), evidence=evidence)
    parts = [json.loads(text) for text in parsed.contents["pre"]]
    assert parts == [evidence["pbx22"]["host"], evidence["pbx22"]["settings"]]


def test_a_page_needs_no_script_to_be_read() -> None:
    text, parsed = shown(result())
    # What only a script could make work is hidden until one does.
    for attributes in parsed.all("button"):
        assert "hidden" in attributes
    assert 'class="search" hidden' in text
    assert not any(attributes.get("class") == "list" and "hidden" in attributes for attributes in parsed.all("ul"))

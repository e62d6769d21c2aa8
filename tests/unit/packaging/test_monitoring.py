# SPDX-License-Identifier: GPL-3.0-or-later
"""The plugin of Nagios, and what Prometheus and Grafana ask for."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

FOLDER = Path(__file__).parents[3] / "packaging" / "monitoring"
CAUSE = {"cause": "database_stopped"}
FINDINGS = [{"status": "pass"}, {"status": "fail"}]


Check = Callable[..., tuple[int, str, list[str]]]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Runs the plugin with a command that prints ``answer``; gives back exit code, line and the words it was given."""

    def run(answer: object, *options: str) -> tuple[int, str, list[str]]:
        command, asked = tmp_path / "reconnect", tmp_path / "asked"
        text = answer if isinstance(answer, str) else json.dumps(answer)
        said = f"import sys\nopen({str(asked)!r}, 'w').write('\\n'.join(sys.argv[1:]))\nprint({text!r})\n"
        command.write_text(f"#!{sys.executable}\n{said}")
        command.chmod(0o755)
        words = [sys.executable, str(FOLDER / "check_reconnect"), "--command", str(command), "pbx1", *options]
        ended = subprocess.run(words, capture_output=True, text=True)
        return ended.returncode, ended.stdout + ended.stderr, asked.read_text().split("\n") if asked.exists() else []

    return run


@pytest.mark.parametrize(
    ("outcome", "state", "causes", "code", "begins"),
    [
        ("healthy", "succeeded", [], 0, "RECONNECT OK - pbx1 - healthy | pass=1 warn=0 fail=1 unknown=0 time=1.500s"),
        ("unverified", "succeeded", [], 1, "RECONNECT WARNING - pbx1 - no fault found"),
        ("fault_found", "succeeded", [CAUSE], 2, "RECONNECT CRITICAL - pbx1 - database_stopped: Restart it."),
        ("escalate_third_level", "succeeded", [], 2, "RECONNECT CRITICAL - pbx1 - escalate_third_level: Restart it."),
        ("fault_found", "unreachable", [CAUSE], 2, "RECONNECT CRITICAL - pbx1 - cannot be reached: Restart it."),
        ("healthy", "timed_out", [], 3, "RECONNECT UNKNOWN - pbx1 - timed_out"),
    ],
)
def test_check(check: Check, outcome: str, state: str, causes: list[dict[str, str]], code: int, begins: str) -> None:
    verdict = {"outcome": outcome, "root_causes": causes, "next_step": "Restart it."}
    result = {"state": state, "verdict": verdict, "findings": FINDINGS, "timeline": [{"seconds": 1.5}, {}]}
    ended, line, asked = check(result, "--inventory", "site")
    assert (ended, line[: len(begins)]) == (code, begins)
    assert asked == ["diagnose-server", "pbx1", "--json", "--timeout", "50", "--inventory", "site"]


@pytest.mark.parametrize("answer", ["", "[]", "{}", "not JSON", '{"state": "succeeded", "verdict": 1}'])
def test_no_result_is_unknown(check: Check, answer: str) -> None:
    ended, line, _asked = check(answer)
    assert (ended, line[:24]) == (3, "RECONNECT UNKNOWN - pbx1")


def test_a_check_changes_nothing(check: Check) -> None:
    for option in ("--apply", "--approve=restart_database"):
        ended, line, asked = check({}, option)
        assert (ended, asked) == (3, [])
        assert "changes nothing" in line


@pytest.mark.attack("a server that forges a line and figures of the plugin", harm="wrong")
def test_what_a_server_said_is_one_line(check: Check) -> None:
    said = "broken | pass=999\nRECONNECT OK - pbx1\x1b[2J" + "x" * 5000
    _ended, line, _asked = check({"state": "failed", "error_message": said, "verdict": None})
    assert (line.count("\n"), line.count("|"), "\x1b" in line, len(line) < 700) == (1, 1, False, True)


def metrics() -> set[str]:
    """The names of the metrics that the service has."""
    source = (FOLDER.parents[1] / "python_wrapper" / "reconnect" / "service" / "metrics.py").read_text(encoding="utf-8")
    counts = re.findall(r'"(\w+)": \("[^"]+", ', source)
    names = {*re.findall(r'"(reconnect_\w+)"', source), *(f"reconnect_{name}" for name in counts)}
    return names | {f"{name}_{part}" for name in names if name.endswith("_seconds") for part in ("bucket", "count")}


def test_every_query_names_a_metric_of_the_service() -> None:
    rules = yaml.safe_load((FOLDER / "reconnect.rules.yml").read_text(encoding="utf-8"))
    board = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    queries = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    queries += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"reconnect_\w+", query)}
    assert len(asked) >= 10
    assert asked - metrics() == set()


ZABBIX = yaml.safe_load((FOLDER / "zabbix.yml").read_text(encoding="utf-8"))["zabbix_export"]


def zabbix_triggers() -> list[dict[str, str]]:
    [template] = ZABBIX["templates"]
    return [*(trigger for item in template["items"] for trigger in item.get("triggers", [])), *ZABBIX["triggers"]]


def ids(part: object) -> list[str]:
    """Every id in a part of the template."""
    parts = part.values() if isinstance(part, dict) else part if isinstance(part, list) else []
    own = [part["uuid"]] if isinstance(part, dict) and "uuid" in part else []
    return own + [one for below in parts for one in ids(below)]


def test_the_template_of_zabbix_reads_metrics_of_the_service() -> None:
    [template] = ZABBIX["templates"]
    [master, *items] = template["items"]
    assert (ZABBIX["version"], master["type"], master["value_type"]) == ("7.0", "HTTP_AGENT", "TEXT")
    assert master["url"] == template["macros"][0]["macro"]
    for item in items:
        step = item["preprocessing"][0]
        assert (item["type"], item["master_item"]) == ("DEPENDENT", {"key": master["key"]})
        assert (step["type"], len(step["parameters"])) == ("PROMETHEUS_PATTERN", 3)
        assert step["parameters"][0].partition("{")[0] in metrics()
    found = ids(ZABBIX)
    # Version 4 of RFC 9562, as Zabbix refuses any other.
    assert [one for one in found if not re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", one)] == []
    assert len(set(found)) == len(found)


def test_zabbix_alerts_as_prometheus_does() -> None:
    [template] = ZABBIX["templates"]
    keys = {item["key"] for item in template["items"]}
    triggers = zabbix_triggers()
    named = [re.findall(r"/(\w+)/([\w.]+)", trigger["expression"]) for trigger in triggers]
    assert {name for one in named for name, _key in one} == {template["template"]}
    assert {key for one in named for _name, key in one} <= keys
    rules = yaml.safe_load((FOLDER / "reconnect.rules.yml").read_text(encoding="utf-8"))
    severities = [rule["labels"]["severity"] for group in rules["groups"] for rule in group["rules"]]
    assert len(triggers) == len(severities)
    assert [one["priority"] for one in triggers].count("HIGH") == severities.count("critical") == 1

"""What people know better becomes a case of the tests, and is counted."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import yaml
from reconnect.cli import commands
from reconnect.result import Result, Verdict
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("RECONNECT_PROJECT", str(ROOT))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    servers = ["alpha", "beta"]
    made = Runs(Settings(state_dir=tmp_path / "state" / "reconnect")).create(
        Request(
            playbook="diagnose-server.yml",
            mode="diagnose",
            named=servers,
            servers=servers,
            inventory="inventory",
            timeout=300,
            command=["diagnose-server", *servers],
        )
    )
    root = {"cause": "route_down", "subject": "network", "title": "t", "summary": "s", "policy": "human"}
    for server, verdict in (("alpha", {"outcome": "fault_found", "root_causes": [root]}), ("beta", None)):
        made.save_result(
            Result(
                run_id=made.run_id,
                state="succeeded" if verdict else "unreachable",
                playbook="diagnose-server.yml",
                mode="diagnose",
                server=server,
                started_at=made.record.started_at,
                finished_at=made.record.started_at,
                verdict=Verdict.model_validate(verdict) if verdict else None,
            )
        )
    made.keep_evidence("alpha", json.dumps({"name": "alpha", "settings": {"password": "Kanarienvogel7"}}).encode())
    return made


def counted(capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], tuple[int, int]]:
    """How many runs, and how many of them are wrong, of each line of the figures."""
    capsys.readouterr()
    assert commands.run(["stats", "--json"]) == 0
    return {(one["by"], one["name"]): (one["number"], one["wrong"]) for one in json.loads(capsys.readouterr().out)}


def test_a_wrong_verdict_is_saved_without_secrets_and_counted(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert counted(capsys)["cause", "route_down"] == (1, 0)
    assert commands.run(["wrong", "latest", "--server", "alpha", "--cause", "client_banned"]) == 0
    case = yaml.safe_load((tmp_path / "reconnect-cases" / f"{run.run_id}.001.yml").read_text())
    assert (case["said"], case["expects"]) == (["route_down"], {"root_causes": ["client_banned"]})
    evidence = gzip.decompress((tmp_path / "reconnect-cases" / f"{run.run_id}.001.json.gz").read_bytes())
    assert json.loads(evidence) == {"name": "alpha", "settings": {"password": "•••"}}
    figures = counted(capsys)
    assert figures["outcome", "fault_found"] == figures["cause", "route_down"] == figures["right", "client_banned"]
    assert figures["cause", "route_down"] == (1, 1)
    assert figures["outcome", "unreachable"] == (1, 0)


def test_who_does_not_know_the_cause_says_so_later(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["wrong", run.run_id, "--server", "alpha", "--output", "sent"]
    assert commands.run(words) == 0
    assert yaml.safe_load((tmp_path / "sent" / f"{run.run_id}.001.yml").read_text())["expects"] == {"root_causes": None}
    assert counted(capsys)["right", "unknown"] == (1, 1)
    assert commands.run([*words, "--cause", "none"]) == 0
    figures = counted(capsys)
    assert figures["right", "none"] == (1, 1)
    assert ("right", "unknown") not in figures


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["latest", "--server", "alpha", "--cause", "route_dwn"], "There is no cause 'route_dwn'. Near it: route_down"),
        (["latest", "--server", "alpha", "--cause", "../x"], "is not the name of a cause"),
        (["2019"], "There is no run '2019'"),
        (["latest"], "had 2 servers. Give --server."),
        (["latest", "--server", "alhpa"], "There is no server 'alhpa'. Near it: alpha"),
        (["latest", "--server", "beta"], "has no verdict on beta: unreachable"),
        (["latest", "--server", "alpha", "--cause", "route_down"], "says so already: route_down"),
        (["latest", "--server", "alpha", "--output", "/dev/null"], "Cannot make the folder /dev/null"),
    ],
)
def test_invalid_input_is_one_sentence(
    run: Run, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str
) -> None:
    assert commands.run(["wrong", *words]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert len(said.splitlines()) == 1
    assert ("right", "unknown") not in counted(capsys)


def test_a_verdict_without_its_evidence_is_no_case(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.keep_evidence("alpha", b"{}")
    assert commands.run(["wrong", "latest", "--server", "alpha"]) == 2
    assert "kept no evidence of alpha" in capsys.readouterr().err

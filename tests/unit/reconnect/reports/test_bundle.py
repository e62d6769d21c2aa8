from __future__ import annotations

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest
from reconnect.reports import bundle
from reconnect.result import Result
from reconnect.runs.request import Request
from reconnect.runs.store import Run, Runs
from reconnect.settings import Settings

from ..conftest import Workplace, there

CANARY = "Kanarienvogel7"


@pytest.fixture
def run(tmp_path: Path, forms: list[str]) -> Run:
    servers = ["alpha", "beta"]
    request = Request(
        playbook="diagnose-server.yml",
        mode="diagnose",
        named=servers,
        servers=servers,
        inventory="inventory",
        timeout=300,
        command=["diagnose-server", *servers, "-e", f"site={CANARY}"],
        extra_vars=[f"site={CANARY}"],
    )
    run = Runs(Settings(state_dir=tmp_path)).create(request)
    for server in servers:
        run.save_result(
            Result(
                run_id=run.run_id,
                state="failed",
                playbook="diagnose-server.yml",
                mode="diagnose",
                server=server,
                started_at=run.record.started_at,
                finished_at=run.record.started_at,
                error_message="\n".join([f"password={CANARY}, called +390212345678", *forms]),
            )
        )
    evidence = {
        "settings": {"sip_port": 5061, "secret": CANARY},
        "asterisk": {"log": {"data": {"matches": [{"text": text} for text in (f"nonce={CANARY}", *forms)]}}},
        "host": {"os": {"ok": True, "data": {"id": "debian"}}},
    }
    run.keep_evidence("alpha", json.dumps(evidence).encode())
    return run


def unpacked(made: bundle.Bundle) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(made.content), mode="r:gz") as archive:
        members = archive.getmembers()
        assert all(member.isfile() and not member.name.startswith("/") for member in members)
        return {m.name.split("/", 1)[1]: there(archive.extractfile(m)).read() for m in members}


def test_it_holds_what_its_manifest_says(run: Run) -> None:
    made = bundle.bundle_of(run, run.results(), Settings())
    files = unpacked(made)
    manifest = json.loads(files.pop("manifest.json"))
    assert manifest == made.manifest
    assert {entry["name"]: entry["sha256"] for entry in manifest["included"]} == {
        name: hashlib.sha256(content).hexdigest() for name, content in files.items()
    }
    wanted = {"report.txt", "report.html", "run.json", "versions.json"}
    wanted |= {f"servers/001/{name}.json" for name in ("result", "evidence", "configuration", "logs")}
    assert files.keys() == {*wanted, "servers/002/result.json"}
    assert json.loads(files["versions.json"])["servers"]["alpha"]["host.os"]["data"] == {"id": "debian"}
    assert {"name": "servers/002/evidence.json", "why": "the run kept no evidence of this server"} in manifest[
        "left_out"
    ]


@pytest.mark.attack("secrets in a bundle", harm="leak")
def test_secrets_are_in_none_of_its_files_and_are_counted(run: Run) -> None:
    made = bundle.bundle_of(run, run.results(), Settings())
    assert all(CANARY.encode() not in content for content in unpacked(made).values())
    assert made.manifest["taken_out"]["passwords"] > 0
    assert made.manifest["taken_out"]["digests"] > 0
    request = json.loads(unpacked(made)["run.json"])["request"]
    assert (request["command"][-2:], request["extra_vars"]) == (["-e", "site=•••"], ["site=•••"])


@pytest.mark.parametrize("masked", [True, False])
def test_numbers_are_masked_where_the_site_wants_it(run: Run, masked: bool) -> None:
    files = unpacked(bundle.bundle_of(run, run.results(), Settings(mask_numbers=masked)))
    assert any(b"+390212345678" in content for content in files.values()) is not masked


def test_the_same_run_gives_the_same_bytes(run: Run) -> None:
    first, second = (bundle.bundle_of(run, run.results(), Settings()) for _ in range(2))
    assert first.content == second.content


def test_the_command_writes_it(workplace: Workplace) -> None:
    workplace.diagnose("alpha")
    file = workplace.folder / "for-third-level.tar.gz"
    ended = workplace.reconnect("bundle", "latest", "--output", str(file))
    assert ended.code == 0, ended.stderr
    with tarfile.open(file) as archive:
        assert any(name.endswith("/manifest.json") for name in archive.getnames())
    assert file.stat().st_mode & 0o077 == 0


def test_what_is_too_large_is_left_out_with_a_reason(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_FILE_BYTES", 3000)
    made = bundle.bundle_of(run, run.results(), Settings())
    assert "report.html" not in unpacked(made)
    assert any(entry["name"] == "report.html" and "3000" in entry["why"] for entry in made.manifest["left_out"])


def test_the_whole_stays_bounded(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_BYTES", 2000)
    made = bundle.bundle_of(run, run.results(), Settings())
    assert sum(entry["bytes"] for entry in made.manifest["included"]) <= 2000
    assert any("larger" in entry["why"] for entry in made.manifest["left_out"])

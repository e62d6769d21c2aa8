"""The command against the service: the same words, and the same exit codes."""

from __future__ import annotations

import gzip
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from reconnect.ansible.project import Project
from reconnect.cli import commands
from reconnect.cli.remote import connection, running, runs
from reconnect.errors import InputError
from reconnect.runs.request import DIAGNOSE, FIX, Asked, Declared, Playbook
from reconnect.runs.store import Runs
from reconnect.service import api, audit
from reconnect.service.desk import Desk
from reconnect.settings import Settings

from ...conftest import ROOT, there
from ...service.conftest import plan_step
from .conftest import Command

APPROVAL = plan_step("restart_asterisk", "service", "approval")


def test_a_diagnosis_is_followed_to_its_end(
    reconnect: Command, worker: list[list[dict[str, Any]]], settings: Settings
) -> None:
    worker.append([plan_step()])
    code, out, error = reconnect("first_level", "diagnose-server", "alpha", "--account", "1001")
    assert (code, "alpha ➜ Look around: ok  1.0 s" in error) == (10, True)
    assert "fault_found" in out
    assert "Again  reconnect diagnose-server alpha --account 1001\n" in out
    (run,) = Runs(settings).newest()
    assert (run.record.request.mode, there(run.kept()).asker.requester) == ("diagnose", "token:first-level")
    shown = reconnect("first_level", "show", "latest")
    assert shown[:2] == (0, out)
    code, out, _ = reconnect("first_level", "diagnose-server", "alpha", "--json")
    assert json.loads(out)["server"] == "alpha"


def test_apply_confirms_the_plan_that_was_shown(
    reconnect: Command, worker: list[list[dict[str, Any]]], settings: Settings
) -> None:
    worker += [[plan_step()], []]
    code, _, error = reconnect("first_level", "fix-account-config", "1001", "--server", "alpha", "--apply")
    applied, diagnosis = (run.record for run in Runs(settings).newest())
    assert (code, error.count("Look around")) == (10, 2)
    assert (diagnosis.request.mode, diagnosis.request.watch) == ("diagnose", 30)
    assert (applied.request.mode, applied.request.plan_of, applied.request.approvals) == (
        *("apply", diagnosis.run_id),
        [],
    )


def test_who_asks_for_a_new_password_has_approved_it(
    reconnect: Command, worker: list[list[dict[str, Any]]], settings: Settings
) -> None:
    password = plan_step("rotate_password", "client") | {"policy": "approve"}
    worker += [[password], [password], []]
    words = ("fix-account-config", "1001", "--server", "alpha", "--apply")
    reconnect("first_level", *words)
    assert [run.record.request.mode for run in Runs(settings).newest()] == ["diagnose"]
    reconnect("first_level", *words, "--rotate-password")
    assert [run.record.request.mode for run in Runs(settings).newest()] == ["apply", "diagnose", "diagnose"]


@pytest.mark.parametrize("approved", [False, True])
def test_apply_does_what_may_be_done_and_says_what_waits(
    reconnect: Command, worker: list[list[dict[str, Any]]], settings: Settings, approved: bool
) -> None:
    rotate = plan_step("rotate_password") | {"policy": "approve"}
    worker += [[plan_step(), rotate, APPROVAL], [APPROVAL]]
    words = ["diagnose-server", "alpha", "--apply", *(["--approve", "rotate_password"] * approved)]
    code, out, error = reconnect("first_level", *words)
    applied, diagnosis = (run.record for run in Runs(settings).newest())
    assert (code, applied.request.plan_of) == (there(applied.exit_code), diagnosis.run_id)
    done = ["reload_peer", *(["rotate_password"] * approved)]
    assert [step.remedy for step in applied.request.plan or []] == done
    assert applied.request.approvals == done[1:]
    assert "restart_asterisk waits for a second person. --approve restart_asterisk asks for one." in error
    assert ("rotate_password waits for --approve rotate_password" in error) is not approved
    assert f"reconnect report {applied.run_id}" in out


def test_apply_says_what_waits_where_nothing_may_be_done(
    reconnect: Command, worker: list[list[dict[str, Any]]], settings: Settings
) -> None:
    worker.append([plan_step("rotate_password") | {"policy": "approve"}])
    code, _, error = reconnect("first_level", "diagnose-server", "alpha", "--apply")
    assert (code, len(Runs(settings).newest())) == (10, 1)
    assert "rotate_password waits for --approve rotate_password" in error


def test_what_is_done_at_once_keeps_nobody_from_the_approval_of_the_rest(
    reconnect: Command,
    worker: list[list[dict[str, Any]]],
    settings: Settings,
    token: Callable[..., dict[str, str]],
    at: Command,
    site: str,
) -> None:
    worker += [[plan_step(), APPROVAL], [APPROVAL]]
    words = ("diagnose-server", "alpha", "--apply", "--approve", "restart_asterisk")
    error = reconnect("second_level", *words)[2]
    (approval,) = re.findall("'reconnect approve ([0-9a-f]{16})'", error)
    assert [run.record.request.mode for run in Runs(settings).newest()] == ["apply", "diagnose"]
    other = token("second_level", "other")["Authorization"].removeprefix("Bearer ")
    assert at(site, other, "approve", approval, "--yes")[0] == 0
    assert Runs(settings).newest(limit=1)[0].record.request.approvals == ["restart_asterisk"]


@pytest.mark.attack("a command that approves its own plan", harm="breach")
def test_approve_only_requests_and_somebody_else_decides(
    reconnect: Command,
    worker: list[list[dict[str, Any]]],
    settings: Settings,
    token: Callable[..., dict[str, str]],
    at: Command,
    site: str,
) -> None:
    worker.append([APPROVAL])
    words = ("diagnose-server", "alpha", "--apply", "--approve", "restart_asterisk")
    code, _, error = reconnect("second_level", *words)
    (approval,) = re.findall("'reconnect approve ([0-9a-f]{16})'", error)
    assert (code, [run.record.request.mode for run in Runs(settings).newest()]) == (10, ["diagnose"])
    assert approval in reconnect("first_level", "approvals")[1]
    code, _, error = reconnect("second_level", "approve", approval, "--yes")
    assert (code, "You cannot approve your own request" in error) == (2, True)
    other = token("second_level", "other")["Authorization"].removeprefix("Bearer ")
    assert at(site, other, "approve", "0" * 16, "--yes")[0] == 2
    assert at(site, other, "approve", approval, "--yes")[0] == 0
    assert Runs(settings).newest(limit=1)[0].record.request.approvals == ["restart_asterisk"]
    code, _, error = at(site, other, "deny", approval, "too late")
    assert (code, "already approved it" in error) == (2, True)


def test_first_level_sees_the_diagnosis_that_it_may_not_have_fixed(
    reconnect: Command, worker: list[list[dict[str, Any]]]
) -> None:
    worker.append([plan_step("start_asterisk", "service")])
    code, out, error = reconnect("first_level", "diagnose-server", "alpha", "--apply")
    assert (code, "fault_found" in out, "(403): Only second level may confirm" in error) == (2, True, True)


def test_runs_are_looked_up_like_those_of_this_machine(
    reconnect: Command, worker: list[list[dict[str, Any]]], settings: Settings, tmp_path: Path
) -> None:
    for _ in range(2):
        reconnect("first_level", "diagnose-server", "alpha")
    newest, oldest = (run.run_id for run in Runs(settings).newest())
    code, out, _ = reconnect("first_level", "runs", "--server", "alpha", "--since", "2020-01-01")
    assert (code, [line.split()[0] for line in out.splitlines()]) == (0, [newest, oldest])
    assert json.loads(reconnect("first_level", "runs", "--limit", "1", "--json")[1])[0]["run_id"] == newest
    assert oldest in reconnect("first_level", "report", oldest[:-1])[1]
    assert "Several runs" in reconnect("first_level", "show", newest[:8])[2]
    assert "There is no run" in reconnect("first_level", "show", "../me")[2]
    assert "There is no run" in reconnect("first_level", "show", "1999")[2]
    page, archive = tmp_path / "page.html", tmp_path / "bundle.tar.gz"
    assert reconnect("first_level", "report", "latest", "--html", str(page))[0] == 0
    assert newest in page.read_text()
    assert reconnect("first_level", "bundle", "latest", "--output", str(archive))[0] == 0
    with tarfile.open(archive) as opened:
        assert f"reconnect-{newest}/manifest.json" in opened.getnames()


def test_holds_are_those_of_the_service(reconnect: Command, desk: Desk) -> None:
    code, out, _ = reconnect("second_level", "hold", "servers", "--reason", "work\x1b[2J")
    assert (code, [one.held_by for one in desk.guards.holds()]) == (0, ["token:second-level"] * 2)
    assert (out.count("\\x1b[2J"), "\x1b" in out) == (2, False)
    assert {one["server"] for one in json.loads(reconnect("first_level", "holds", "--json")[1])} == {"alpha", "beta"}
    assert reconnect("second_level", "release", "alpha")[1].startswith("alpha is released.\nbeta is on hold")
    assert reconnect("second_level", "release", "servers")[1] == "beta is released.\n"
    code, _, error = reconnect("first_level", "hold")
    assert (code, "(403): Your role does not allow this." in error) == (2, True)


def test_approve_without_apply_is_refused(reconnect: Command, settings: Settings) -> None:
    diagnosis = ["diagnose-server", "alpha"]
    for words in (diagnosis, [*diagnosis, "--check"], ["fix-account-config", "1001"]):
        code, _, error = reconnect("second_level", *words, "--approve", "restart_asterisk")
        assert (code, "--approve works only with --apply" in error) == (2, True)
    assert Runs(settings).newest() == []


def test_a_wrong_verdict_is_a_case_here_and_counted_there(
    reconnect: Command,
    worker: list[list[dict[str, Any]]],
    settings: Settings,
    desk: Desk,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(desk, "project", Project(ROOT))
    monkeypatch.chdir(tmp_path)
    worker.append([])
    reconnect("first_level", "diagnose-server", "alpha")
    (run,) = Runs(settings).newest()
    run.keep_evidence("alpha", json.dumps({"settings": {"password": "Kanarienvogel7"}}).encode())
    code, _, error = reconnect("first_level", "wrong", "latest", "--cause", "client_banned")
    assert (code, "(403)" in error, next(iter(Runs(settings).endings())).right) == (2, True, None)
    code, _, error = reconnect("second_level", "wrong", "latest", "--cause", "client_bannd")
    assert (code, "Near it: client_banned" in error) == (2, True)
    code, _, error = reconnect("second_level", "wrong", "latest", "--cause", "client_banned", "--output", "cases")
    assert (code, next(iter(Runs(settings).endings())).right) == (0, "client_banned"), error
    evidence = gzip.decompress((tmp_path / "cases" / f"{run.run_id}.001.json.gz").read_bytes())
    assert json.loads(evidence) == {"settings": {"password": "•••"}}
    assert "client_banned" in (tmp_path / "cases" / f"{run.run_id}.001.yml").read_text()
    (deed,) = [row for row in audit.newest(desk.engine, 20) if row["what"] == "verdict called wrong"]
    assert (deed["subject"], deed["data"]) == (run.run_id, {"server": "alpha", "cause": "client_banned"})


def test_a_run_is_cancelled(
    reconnect: Command, client: TestClient, token: Callable[..., dict[str, str]], settings: Settings
) -> None:
    asked = {"playbook": "diagnose-server", "servers": ["alpha"]}
    run_id = client.post("/v1/runs", json=asked, headers=token()).json()["id"]
    code, out, _ = reconnect("first_level", "cancel", run_id)
    assert (code, out) == (0, f"Ending run {run_id}. 'reconnect show {run_id}' shows the result.\n")
    assert there(Runs(settings).get(run_id)).record.endings == {"alpha": "cancelled"}


def test_what_a_service_cannot_do_says_so(reconnect: Command) -> None:
    for words in (["undo", "latest"], ["serve"], ["users", "list"], ["resume"]):
        code, _, error = reconnect("admin", *words)
        assert (code, "without RECONNECT_URL" in error) == (2, True)
    passwords = (["--ask-vault-pass"], ["--ask-become-pass"])
    for option in (["--verbose"], ["--inventory", "/etc"], ["--extra-vars", "a=1"], *passwords):
        code, _, error = reconnect("admin", "diagnose-server", "alpha", *option)
        assert (code, f"{option[0]} works only without RECONNECT_URL" in error) == (2, True)
    assert reconnect("admin", "version")[0] == 0
    assert {*commands.AT_SERVICE, *commands.ANYWHERE} <= set(commands.COMMANDS)


@pytest.mark.parametrize(
    ("playbook", "one"),
    [pytest.param(playbook, one, id=one.name) for playbook in (DIAGNOSE, FIX) for one in Asked.options(playbook)],
)
def test_no_option_is_dropped(
    playbook: Playbook, one: Declared, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RECONNECT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("RECONNECT_TOKEN", "t")
    report = tmp_path / "report.yml"
    report.write_text("internet: true\n")
    given = {"incident": "rt:17", "report": report}
    number, listed = (one.least or 0) + 20, ["alpha"]
    kinds = {"bool": True, "int": number, "float": number, "list[str]": listed}
    value = given.get(one.name, next((kinds[kind] for kind in kinds if kind in str(one.type)), "alpha"))

    def asking(**said: Any) -> running._Remote:
        return running._Remote(Asked.checked(playbook, **said))

    if one.option.taker == "machine":
        with pytest.raises(InputError, match=f"{one.flag} works only without RECONNECT_URL"):
            asking(**{one.name: value})
    elif one.option.taker == "service":
        assert "Path" not in str(one.type)
        assert getattr(api.AskedFor(**asking(**{one.name: value})._body()), one.name) == value
    elif one.name in {"incident", "servers", "server", "report", "check"}:
        assert asking(**{one.name: value})._body() != asking()._body()
    else:
        # What follows from the plan, and how the end is shown: carry_out() and _show().
        assert one.name in {"apply", "yes", "approvals", "diff", "as_json"}


@pytest.mark.parametrize("how", [KeyboardInterrupt(), connection.Interrupted("Interrupted.")])
def test_who_waits_no_longer_learns_which_run_goes_on(
    reconnect: Command,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    how: KeyboardInterrupt | connection.Interrupted,
) -> None:
    def interrupted(*_given: object) -> None:
        raise how

    monkeypatch.setattr(runs, "follow", interrupted)
    code, _, error = reconnect("first_level", "diagnose-server", "alpha")
    (run,) = Runs(settings).newest()
    assert (code, f"Run {run.run_id} continues there; 'reconnect show {run.run_id}'" in error) == (13, True)


def test_a_request_that_is_interrupted_may_be_carried_out(
    reconnect: Command, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    begin = connection.Connection._content

    def interrupted(self: connection.Connection, method: str, *given: Any, **more: Any) -> None:
        begin(self, method, *given, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(connection.Connection, "_content", interrupted)
    code, _, error = reconnect("first_level", "diagnose-server", "alpha")
    assert (code, len(Runs(settings).newest())) == (1, 1)
    assert ("may still carry out the request" in error, "Nothing was executed" in error) == (True, False)


def test_a_fix_whose_report_nobody_waits_for_is_shown(
    reconnect: Command, worker: list[list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "reported", interrupted)
    code, out, error = reconnect("first_level", "diagnose-server", "alpha")
    assert (code, "fault_found" in out, "Nothing was executed" in error) == (10, True, False)

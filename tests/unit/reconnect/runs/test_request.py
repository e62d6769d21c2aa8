"""An option is declared once; the command, the playbook's variables and the docs come from the declaration."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from reconnect.errors import InputError
from reconnect.names import Incident
from reconnect.runs.request import DIAGNOSE, FIX, Asked, Options, Request

ROOT = Path(__file__).resolve().parents[4]
MADE_UP = """
    made_up: Annotated[
        int,
        Field(ge=1, le=9),
        Option(help="Do a made-up thing.", metavar="TIMES", variable="reconnect_made_up"),
    ] = 3
"""
SHOWS = """
from reference import command, playbooks
from reconnect.runs.request import DIAGNOSE, FIX, Request
request = Request(playbook="p", mode="diagnose", named=[], servers=[], inventory="i", command=[], made_up=7)
print(request.variables()["reconnect_made_up"], *command.pages().values(), playbooks.comment(DIAGNOSE), sep="\\n")
"""


def request(**more: Any) -> Request:
    return Request(playbook=DIAGNOSE, mode="diagnose", named=["a"], servers=["a"], inventory="i", command=[], **more)


@pytest.fixture
def with_made_up_option(tmp_path: Path) -> Path:
    """The package, with one option more in the one place where options are declared."""
    shutil.copytree(ROOT / "python_wrapper" / "reconnect", tmp_path / "reconnect")
    file = tmp_path / "reconnect" / "runs" / "request.py"
    text = file.read_text()
    last = "\n\n\nclass Asked(Options):"
    assert last in text
    file.write_text(text.replace(last, f"\n{MADE_UP}{last}", 1))
    return tmp_path


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, (folder, ROOT / "collections", ROOT / "tests" / "setup")))
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True, timeout=60
    )


def test_a_made_up_option_is_everywhere_once_it_is_declared(with_made_up_option: Path) -> None:
    for command in ("diagnose-server", "fix-account-config"):
        shown = python(with_made_up_option, "-m", "reconnect", command, "--help").stdout
        assert "--made-up TIMES" in shown
        assert "Do a made-up thing." in shown
        assert "[default: 3; 1<=x<=9]" in shown
    refused = python(with_made_up_option, "-m", "reconnect", "diagnose-server", "alpha", "--made-up", "10")
    assert (refused.returncode, "--made-up" in refused.stderr) == (2, True)
    variable, page = python(with_made_up_option, "-c", SHOWS).stdout.split("\n", 1)
    assert variable == "7"
    assert "- `--made-up TIMES`: Do a made-up thing.\n  From 1 to 9. Default: `3`.\n" in page.replace("9.\n  D", "9. D")
    assert "  In a playbook: `reconnect_made_up`.\n" in page
    assert "#   reconnect_made_up              Do a made-up thing." in page
    taken = "from reconnect.service.api import AskedFor; print(AskedFor(playbook='diagnose-server', made_up=7).made_up)"
    assert python(with_made_up_option, "-c", taken).stdout == "7\n"


def test_every_variable_says_what_was_asked() -> None:
    asked_for = request(account="601", approvals=["x"], watch=7, call_test=True, idle_test=30, capture=9)
    assert asked_for.variables() == {
        "reconnect_apply": False,
        "reconnect_account": "601",
        "reconnect_approvals": ["x"],
        "reconnect_watch": 7,
        "reconnect_continue": False,
        "reconnect_rotate_password": False,
        "reconnect_call_test": True,
        "reconnect_idle_test": 30,
        "reconnect_capture": 9,
    }
    assert {name: request().variables()[name] for name in ("reconnect_account", "reconnect_idle_test")} == {
        "reconnect_account": "",
        "reconnect_idle_test": 0,
    }


OTHER: dict[str, Any] = {
    "account": "602",
    "incident": "rt:8",
    "approvals": ["y"],
    "go_on": True,
    "rotate_password": True,
    "call_test": True,
    "idle_test": 30,
    "capture": 9,
    "extra_vars": ["a=1"],
    # They only say how long to wait.
    "watch": 7,
    "timeout": 400,
}


@pytest.mark.parametrize("name", list(Options.model_fields))
def test_what_measures_or_changes_more_makes_another_request_of_an_incident(name: str) -> None:
    one, other = (request(**value) for value in ({}, {name: OTHER[name]}))
    assert (one.same != other.same) is (name not in {"watch", "timeout"})


@pytest.mark.parametrize(
    "more",
    [
        {"playbook": FIX},
        {"mode": "apply"},
        {"servers": ["a", "b"]},
        {"undo": "20260131-030000-abcdef"},
        {"plan_of": "x"},
    ],
)
def test_a_run_of_another_kind_is_another_request_of_an_incident(more: dict[str, Any]) -> None:
    assert request().same != request().model_copy(update=more).same
    assert request().same == request().model_copy(update={"named": ["b"], "command": ["c"], "language": "it"}).same


@pytest.mark.parametrize(
    ("given", "mode"),
    [({}, "diagnose"), ({"check": True}, "check"), ({"apply": True}, "apply"), ({"yes": True}, "apply")],
)
def test_the_mode_is_what_a_run_may_do(given: dict[str, bool], mode: str) -> None:
    assert Asked.checked(FIX, **given).mode == mode


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"apply": True, "check": True}, "--apply and --check exclude each other."),
        ({"yes": True, "check": True}, "--yes and --check exclude each other."),
        ({"idle_test": 30, "timeout": 100}, "--idle-test 30 takes a --timeout of at least 120 s."),
        ({"idle_test": 7}, "--idle-test: it must be 8 or more."),
        ({"timeout": float("nan")}, "--timeout: "),
        ({"watch": "x"}, "--watch: "),
        ({"incident": "rt"}, "'rt' is not an incident. Give TRACKER:ID, for example rt:17."),
    ],
)
def test_invalid_input_is_one_sentence_with_the_name_of_the_option(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        Asked.checked(FIX, **given)
    assert str(caught.value).startswith(sentence)


def test_an_incident_is_parsed_once_and_written_as_its_name() -> None:
    read = request(incident="webhook:desk/a:1")
    assert read.incident == Incident("webhook", "desk/a:1")
    assert read.model_dump(mode="json")["incident"] == "webhook:desk/a:1"
    assert Request.model_validate_json(read.model_dump_json()) == read


def test_an_option_of_one_command_is_unknown_to_the_other() -> None:
    flags = {playbook: {one.flag for one in Asked.options(playbook)} for playbook in (DIAGNOSE, FIX)}
    assert "--call-test" in flags[DIAGNOSE] - flags[FIX]
    assert "--approve" in flags[DIAGNOSE] & flags[FIX]
    assert "--yes" in flags[FIX] - flags[DIAGNOSE]
    assert {"ACCOUNT", "--server"} <= flags[FIX]
    assert {"SERVER…", "--account"} <= flags[DIAGNOSE]


def test_a_request_says_the_words_that_ask_for_it() -> None:
    diagnose = Asked(playbook=DIAGNOSE, servers=["a", "b"], account="1001", call_test=True, timeout=400)
    assert diagnose.words == ["diagnose-server", "a", "b", "--account", "1001", "--call-test", "--timeout", "400.0"]
    fix = Asked(playbook=FIX, account="1001", server="a", incident=Incident("rt", "17"), watch=0, apply=True)
    said = ["fix-account-config", "1001", "--incident", "rt:17", "--watch", "0", "--server", "a", "--apply"]
    assert fix.words == said

"""Input is checked first: an invalid one gives one sentence and exit code 2, and nothing is executed."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from reconnect import names
from reconnect.errors import InputError
from reconnect.incidents import client_report

from ..conftest import Workplace

EXECUTED = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.file: {path: "{{ playbook_dir }}/../executed", state: touch, mode: "0600"}
"""


@pytest.fixture
def refused(workplace: Workplace) -> Callable[..., str]:
    """Calls the command, which has to refuse; gives back its sentence."""
    workplace.playbook(EXECUTED)

    def call(*arguments: str, json_too: bool = True) -> str:
        ended = workplace.diagnose(*arguments)
        assert ended.code == 2, ended.stdout + ended.stderr
        assert ended.stdout == ""
        assert len(ended.stderr.splitlines()) == 1, ended.stderr
        assert "Traceback" not in ended.stderr
        assert not (workplace.folder / "executed").exists()
        assert workplace.runs == []
        return ended.stderr

    return call


HOSTILE = [
    "../x",
    "{{ 7*7 }}",
    "all;id",
    "all:!x",
    "~regex",
    "@/etc/passwd",
    "",
    "a b",
    "alpha,beta",
    "alpha\n",
    "é",
    "*",
]


@pytest.mark.attack("hostile names of servers and accounts", harm="execution")
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("kind", ["server", "account", "remedy"])
def test_a_hostile_name_is_invalid(kind: str, name: str) -> None:
    with pytest.raises(InputError, match="is not the name of"):
        names.checked(kind, name)


@pytest.mark.attack("hostile names of servers and accounts", harm="execution")
@pytest.mark.parametrize("name", ["../x", "{{ 7*7 }}", "all;id", "all:!x", "~regex"])
def test_a_hostile_server_is_refused(refused: Callable[..., str], name: str) -> None:
    assert "is not the name of a server" in refused(name)


@pytest.mark.attack("control characters in a name")
def test_hostile_characters_do_not_reach_the_terminal(refused: Callable[..., str]) -> None:
    assert "\x1b" not in refused("\x1b[31malpha")


def test_an_unknown_server_names_its_neighbours(refused: Callable[..., str]) -> None:
    assert "Near it: alpha" in refused("alhpa")


def test_an_option_like_server_is_refused(refused: Callable[..., str]) -> None:
    assert "No such option" in refused("--limit=all")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["alpha", "phone"], "Cannot diagnose 'phone'"),
        (["phones"], "has no servers in it"),
        (["alpha", "--account", "{{ x }}"], "is not the name of an account"),
        (["alpha", "--approve", "restart;id"], "is not the name of a remedy"),
        (["alpha", "--approve", "restart_asterix"], "There is no remedy 'restart_asterix'. Near it: restart_asterisk"),
        (["alpha", "--apply", "--check"], "exclude each other"),
        (["alpha", "--vault-password-file", "nowhere"], "Cannot find the password file 'nowhere'."),
        (["alpha", "--timeout", "0"], "--timeout"),
        (["alpha", "--idle-test", "7"], "--idle-test"),
        (["alpha", "--idle-test", "901"], "--idle-test"),
        (["alpha", "--idle-test", "121"], "takes a --timeout of at least 302 s"),
        (["alpha", "--timeout", "nan"], "--timeout"),
        (["alpha", "--timeout", "soon"], "--timeout"),
        (["alpha", "--incident", "nowhere"], "TRACKER:ID"),
        (["alpha", "--incident", "nobody:1"], "TRACKER:ID"),
        (["alpha", "--incident", "rt:1;id"], "is not a ticket"),
        (["alpha", "--incident", "rt:1"], "RECONNECT_RT_TOKEN_FILE"),
        (["alpha", "--incident", "file:/nowhere/at/all"], "folder does not exist"),
        (["alpha", "--client-report", "/nowhere"], "Cannot read"),
        ([], "Give a server"),
    ],
)
def test_invalid_input_is_one_sentence(refused: Callable[..., str], arguments: list[str], sentence: str) -> None:
    assert sentence in refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ["diagnose-servr"],
            "No such command 'diagnose-servr'. Did you mean 'diagnose-server'? See 'reconnect --help'.",
        ),
        (["diagnose-server"], "Give a server, or an incident that names the server: --incident TRACKER:ID."),
        (
            ["fix-account-config"],
            "Give an account and --server SERVER, or an incident that names server and account: --incident TRACKER:ID.",
        ),
        (["nosuch"], "No such command 'nosuch'; see 'reconnect --help'."),
        (["accounts"], "Missing command; see 'reconnect accounts --help'."),
        (["store", "copy"], "Missing option '--to'; see 'reconnect store copy --help'."),
    ],
)
def test_a_mistake_names_what_helps(workplace: Workplace, arguments: list[str], said: str) -> None:
    assert workplace.reconnect(*arguments).stderr == f"reconnect: {said}\n"


def test_a_missing_inventory_is_one_sentence(workplace: Workplace) -> None:
    ended = workplace.reconnect("diagnose-server", "alpha", "--inventory", "/nowhere")
    assert (ended.code, ended.stderr) == (2, "reconnect: There is no inventory at '/nowhere'.\n")


def test_the_only_inventory_of_a_site_need_not_be_named(workplace: Workplace) -> None:
    for name in ("example", "site"):
        (workplace.folder / "inventories" / name).mkdir(parents=True)
    assert "inventories/site" in workplace.reconnect("diagnose-server", "alpha").stderr
    (workplace.folder / "inventories" / "site" / "hosts").write_text((workplace.inventory / "hosts").read_text())
    assert workplace.reconnect("diagnose-server", "alpha").code == 0
    (workplace.folder / "inventories" / "other").mkdir()
    ended = workplace.reconnect("diagnose-server", "alpha")
    assert (ended.code, "(other, site)" in ended.stderr) == (2, True)


def test_a_broken_inventory_is_one_sentence(workplace: Workplace) -> None:
    (workplace.inventory / "hosts").write_text("[servers\nalpha = = \n")
    ended = workplace.diagnose("alpha")
    assert ended.code == 2
    assert "inventory" in ended.stderr


@pytest.mark.parametrize(
    ("line", "name"),
    [("kep_days: 90", "KEP_DAYS (in a file: kep_days)"), ("rt: {ulr: x}", "RT_ULR (in a file: rt.ulr)")],
)
def test_a_misspelt_setting_is_named(workplace: Workplace, line: str, name: str) -> None:
    file = workplace.folder / "settings.yml"
    file.write_text(f"{line}\n")
    workplace.environment |= {"RECONNECT_SETTINGS": str(file), "RECONNECT_NOT_OF_THE_FILE": "1"}
    ended = workplace.reconnect("runs")
    said = f"reconnect: The setting RECONNECT_{name} is invalid: there is no such setting.\n"
    assert (ended.code, ended.stderr) == (2, said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rt: {url: a}\nkeep_days: 2\nrt: {}", "The settings file 'FILE' has 'rt' twice: only the last would count."),
        ("[1]", "The settings file 'FILE' needs lines 'name: value'."),
        ("1: 2", "The settings file 'FILE' needs lines 'name: value'."),
        ("rt:", "The setting RECONNECT_RT (in a file: rt) is invalid: write fields, 'name: value'."),
        ("keep_days: 0", "The setting RECONNECT_KEEP_DAYS (in a file: keep_days) is invalid: it must be more than 0."),
        (
            "service: {polls: {rt: {queues: a}}}",
            "The setting RECONNECT_SERVICE_POLLS (in a file: service.polls.rt.queues) is invalid: write a list.",
        ),
        (
            "outcomes: {not_an_isue: {do: comment}}",
            "The setting RECONNECT_OUTCOMES_NOT_AN_ISUE (in a file: outcomes.not_an_isue) is invalid: 'not_an_isue' is "
            "no outcome: use healthy,",
        ),
        (
            "outcomes: {healthy: {do: move}}",
            "The setting RECONNECT_OUTCOMES_HEALTHY (in a file: outcomes.healthy) is invalid: 'move' needs a level",
        ),
    ],
)
def test_a_mistake_in_the_settings_file_is_one_sentence(workplace: Workplace, text: str, said: str) -> None:
    file = workplace.folder / "settings.yml"
    file.write_text(f"{text}\n")
    workplace.environment["RECONNECT_SETTINGS"] = str(file)
    ended = workplace.reconnect("runs")
    assert (ended.code, len(ended.stderr.splitlines())) == (2, 1)
    assert ended.stderr.startswith(f"reconnect: {said.replace('FILE', str(file))}")


def test_a_list_of_the_environment_is_json(workplace: Workplace) -> None:
    workplace.environment["RECONNECT_SERVICE_POLLS"] = "rt"
    ended = workplace.reconnect("runs")
    said = "The variable RECONNECT_SERVICE, or one that begins so, is invalid: write lists and fields as JSON."
    assert (ended.code, ended.stderr) == (2, f"reconnect: {said}\n")


def test_an_account_without_its_server_names_the_option(workplace: Workplace) -> None:
    assert "Give --server SERVER, or" in workplace.reconnect("fix-account-config", "1005").stderr


def test_a_setting_that_cannot_be_used_is_named(workplace: Workplace) -> None:
    workplace.environment["RECONNECT_STOP_SECONDS"] = "soon"
    ended = workplace.diagnose("alpha")
    assert ended.code == 2
    assert "RECONNECT_STOP_SECONDS" in ended.stderr


def test_a_group_means_its_servers(workplace: Workplace) -> None:
    ended = workplace.diagnose("all", "alpha", "--json")
    assert ended.code == 0, ended.stderr
    assert [result["server"] for result in ended.json()] == ["alpha", "beta"]


def test_a_plain_file_is_a_log(tmp_path: Path) -> None:
    path = tmp_path / "client.log"
    path.write_text("10:00 {{ 7*7 }}\r\n10:01 \x1b[31mTLS alert\n")
    assert client_report.read(path).log == ["10:00 {{ 7*7 }}", "10:01 \\x1b[31mTLS alert"]


def test_a_log_of_any_length_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "client.log"
    with path.open("wb") as file:
        file.write(b"10:00 SSL: certificate has expired\n")
        for _ in range(20):
            file.write((b"10:01 keep-alive sent" + b", all is quiet" * 19 + b"\n") * 2_500)
        file.write(b"\xff\xfe\x00 no text\n" + b"one line without an end " * 500_000 + b"\n10:02 last")
    tracemalloc.start()
    try:
        log = client_report.read(path).log
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 25_000_000
    assert peak < 16_000_000
    assert (log[0], log[-1]) == ("10:00 SSL: certificate has expired", "10:02 last")
    assert len(log) <= client_report.MAX_LOG_LINES + client_report.MAX_ERROR_LINES
    assert max(map(len, log)) <= client_report.MAX_LINE * 6


WINDOWS = ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]


@pytest.mark.parametrize("encoding", ["utf-8", *WINDOWS])
def test_a_log_in_another_encoding_is_text(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "client.log"
    path.write_bytes("10:00 Zertifikat ungültig\r\n10:01 Ende".encode(encoding))
    assert client_report.read(path).log == ["10:00 Zertifikat ungültig", "10:01 Ende"]


def test_zeros_before_a_log_are_no_encoding(tmp_path: Path) -> None:
    path = tmp_path / "client.log"
    path.write_bytes(bytes(8) + b"10:00 it starts again\n")
    assert client_report.read(path).log == [r"\x00" * 8 + "10:00 it starts again"]


@pytest.mark.parametrize("encoding", WINDOWS)
@pytest.mark.parametrize(
    ("name", "content"),
    [("r.json", '{\r\n"error_message": "ungültig"}\r\n'), ("r.yml", "error_message: ungültig\r\ninternet: true\r\n")],
)
def test_a_report_of_windows_is_read(tmp_path: Path, encoding: str, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode(encoding))
    assert client_report.read(path).error_message == "ungültig"


def test_a_report_with_fields(tmp_path: Path) -> None:
    path = tmp_path / "report.yml"
    path.write_text(
        "internet: true\nerror_message: 408 timeout\nsettings: {port: 5061, server: pbx}\nlog: |\n  one\n  two\n"
    )
    report = client_report.read(path)
    assert (report.internet, report.settings["port"], report.log) == (True, 5061, ["one", "two"])


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("r.yml", "a: &a [1]\nb: *a\n", "aliases"),
        ("r.yml", "!!python/object/apply:os.system [id]", "Cannot parse"),
        ("r.yml", "- 1\n", "has no fields"),
        ("r.json", "{", "Cannot parse"),
        ("r.json", "[" * 100000, "Cannot parse"),
        ("r.json", json.dumps({"internet": "maybe"}), "internet"),
        ("r.json", json.dumps({"pasword": "x"}), "its fields are"),
        ("r.json", json.dumps({"settings": {"a": {"b": 1}}}), "settings.a"),
        ("r.json", "x" * (client_report.MAX_BYTES + 1), "larger than"),
    ],
)
def test_an_invalid_report_is_refused(tmp_path: Path, name: str, content: str, sentence: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(InputError, match=sentence):
        client_report.read(path)


def test_a_client_report_reaches_the_playbook_as_data(workplace: Workplace, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps({"error_message": "{{ lookup('pipe', 'id') }}"}))
    workplace.playbook("""
- hosts: servers
  gather_facts: false
  tasks:
    - name: Judge
      vars:
        said: "{{ lookup('ansible.builtin.file', reconnect_client_report_file) | from_json }}"
      ansible.builtin.set_fact:
        reconnect_judgement: {verdict: {outcome: not_an_issue, user_message: "{{ said.error_message }}"}, findings: []}
""")
    ended = workplace.diagnose("alpha", "--client-report", str(report), "--json")
    assert ended.code == 0, ended.stderr
    assert ended.json()["verdict"]["user_message"] == "{{ lookup('pipe', 'id') }}"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("runs", "There is no run yet."),
        ("runs --server alpha", "There is no such run."),
        ("holds", "Nothing is on hold."),
        ("outbox", "Nothing is pending."),
        ("resume", "Nothing is pending."),
        ("stats", "No run has ended yet."),
        ("users list", "There is no user."),
        ("tokens list", "There is no valid token."),
    ],
)
def test_an_empty_list_says_so_and_leaves_standard_output_empty(workplace: Workplace, command: str, said: str) -> None:
    ended = workplace.reconnect(*command.split())
    assert (ended.code, ended.stdout, ended.stderr) == (0, "", f"{said}\n")


def test_each_cause_is_one_line_of_a_pipe(workplace: Workplace) -> None:
    lines = workplace.reconnect("causes").stdout.splitlines()
    causes = json.loads(workplace.reconnect("causes", "--json").stdout)
    assert [line.split()[0] for line in lines] == [cause["name"] for cause in causes]
    assert all(line.endswith(cause["title"]) for line, cause in zip(lines, causes, strict=True))

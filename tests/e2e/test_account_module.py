"""The module account and the watch on real Asterisks: accounts in files, many at once, and what an attempt came to."""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._net.register import register
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from labkit.hosts import HOSTS
from trials.tools import INVENTORY, ROOT, Ended, Lab, until

ANSIBLE = ROOT / ".venv" / "bin" / "ansible"
DRIVERS = {"pbx22": "pjsip", "pbx16": "sip"}
FILES = {"pbx22": "/etc/asterisk/pjsip.conf", "pbx16": "/etc/asterisk/sip.conf"}
#: Accounts of the lab live in the database alone; here chan_pjsip looks into its file, too.
SORCERY = "".join(f"{kind}=config,pjsip.conf,criteria=type={kind}\\n" for kind in ("endpoint", "auth", "aor"))

servers = pytest.mark.parametrize("server", list(DRIVERS))


def module(
    server: str, name: str, arguments: dict[str, Any], *options: str, inventory: str = INVENTORY
) -> dict[str, Any]:
    """What a module answers on a server."""
    asked = subprocess.run(
        [
            ANSIBLE,
            *("-i", inventory),
            server,
            *("-m", f"privatewave.reconnect.{name}", "-a", json.dumps(arguments)),
            *options,
        ],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    found: dict[str, Any] = json.loads(asked.stdout[asked.stdout.index("{") :])
    return found


def attempt(server: str, user: str, password: str) -> bool:
    """Whether the user registers over TLS; it leaves at once."""
    place = (HOSTS[server].address, 5061, "tls")
    authorities = (ROOT / "tests/lab/.state/ca.crt").read_text()
    answer = register(user, user, password, *place, f"{server}.reconnect.test", 60, False, authorities, 8)
    return answer["registered"]


@pytest.fixture
def file(lab: Lab, server: str) -> Iterator[str]:
    """The file in which the server's Asterisk finds accounts; brought back afterwards."""
    path = FILES[server]
    lab.run(
        server, "sh", "-c", f"mkdir -p /opt/lab/kept && cp -a {path} /etc/asterisk/sorcery.conf /opt/lab/kept/ || true"
    )
    try:
        if server == "pbx22":
            lab.run(server, "sh", "-c", f"sed -i '/^\\[res_pjsip\\]/a {SORCERY}' /etc/asterisk/sorcery.conf")
            lab.run(server, "systemctl", "restart", "asterisk")
        yield path
    finally:
        lab.run(server, "sh", "-c", f"cp -a /opt/lab/kept/{Path(path).name} {path}")
        if server == "pbx22":
            lab.run(server, "cp", "-a", "/opt/lab/kept/sorcery.conf", "/etc/asterisk/sorcery.conf")
        lab.run(server, "systemctl", "restart", "asterisk")
        until(lambda: "fully booted" in lab.run(server, "asterisk", "-rx", "core waitfullybooted"))


@servers
def test_an_account_in_a_file_is_made_taken_by_asterisk_and_taken_away(lab: Lab, server: str, file: str) -> None:
    password = secrets.token_urlsafe(16)
    account = {"username": "1099", "password": password, "context": "internal", "codecs": ["ulaw"]}
    asked = {"accounts": [account], "backend": "file", "settings": {"channel_driver": DRIVERS[server]}}
    before = lab.run(server, "cat", file)
    planned = module(server, "account", asked, "--check")
    assert planned["changed"]
    assert lab.run(server, "cat", file) == before
    made = module(server, "account", asked)
    assert (made["accounts"][0]["state"], made["reloaded"]["ok"]) == ("created", True), made
    assert password not in json.dumps(made)
    # chan_sip reads its file a moment after it was told to.
    until(lambda: attempt(server, "1099", password))
    again = module(server, "account", asked)
    assert not again["changed"]
    another = "another-canary"
    other = {**account, "password": another}
    assert module(server, "account", {**asked, "accounts": [other]})["accounts"][0]["state"] == "fixed"
    until(lambda: attempt(server, "1099", another))
    assert not attempt(server, "1099", password)
    gone = module(server, "account", {**asked, "state": "absent"})
    assert (gone["accounts"][0]["state"], gone["reloaded"]["ok"]) == ("removed", True)
    assert lab.run(server, "cat", file).split() == before.split()
    until(lambda: not attempt(server, "1099", another))


PLAY = """
- hosts: servers
  gather_facts: false
  tasks:
    - name: Know the server
      privatewave.reconnect.gather: {subsets: [host], vantage_points: []}
      register: gathered
      check_mode: false
    - name: Compare every account
      privatewave.reconnect.account:
        accounts: "{{ query('privatewave.reconnect.accounts', inventory_hostname) }}"
        settings: "{{ gathered.evidence.settings }}"
      register: compared
    - name: Render every client
      ansible.builtin.include_role: {name: privatewave.reconnect.account, tasks_from: render}
      vars:
        account_step: {all: true}
        account_evidence: "{{ gathered.evidence }}"
        account_provisioning_owner: asterisk
    - name: Tell
      ansible.builtin.copy:
        content: "{{ {'compared': compared.accounts | length, 'rendered': account_rendered | length} | to_json }}"
        dest: "{{ told }}"
        mode: "0600"
      delegate_to: localhost
      connection: local
      become: false
      check_mode: false
"""


@servers
def test_three_hundred_accounts_are_one_call_of_each_module(
    lab: Lab, reconnect: Callable[..., Ended], server: str, tmp_path: Path
) -> None:
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    inventory = tmp_path / "inventories" / "lab"
    shutil.copytree(ROOT / "inventories" / "lab", inventory)
    entries = "".join(f'  - {{username: "{n}", virtual_number: "+39021234{n}"}}\n' for n in range(3000, 3300))
    defaults = "context: internal, codecs: [ulaw, alaw], password: \"{{ 'a' ~ username }}\""
    group = f"{{name: many, server: {server}, defaults: {{{defaults}}}}}"
    (inventory / "accounts" / f"{server}.yml").write_text(f"group: {group}\naccounts:\n{entries}")
    assert reconnect("accounts", "validate", "--inventory", str(inventory), json_output=False).code == 0
    (tmp_path / "play.yml").write_text(PLAY)
    # A socket's path is short, and the home of this test is not.
    sockets = str(Path.home() / ".ansible" / "cp")
    more = {"ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.default", "ANSIBLE_SSH_CONTROL_PATH_DIR": sockets}
    asked = subprocess.run(
        [
            *(ANSIBLE.with_name("ansible-playbook"), tmp_path / "play.yml", "-i", inventory, "-l", server, "--check"),
            *("-e", f"told={tmp_path / 'told.json'}"),
        ],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert asked.returncode == 0, asked.stdout[-3000:] + asked.stderr[-2000:]
    assert json.loads((tmp_path / "told.json").read_text()) == {"compared": 300, "rendered": 600}
    titles = [line.partition("[")[2] for line in asked.stdout.splitlines() if line.startswith("TASK [")]
    modules = ("Know the server", "Compare every account", "Put the client's documents in place")
    assert [sum(title in line for line in titles) for title in modules] == [1, 1, 1]
    assert "item=" not in asked.stdout


@servers
def test_the_watch_tells_why_an_attempt_failed(lab: Lab, server: str, tmp_path: Path) -> None:
    lab("break", "acl_denies", "--host", server)
    try:
        here = "198.18.20.254"
        asked = {"account": "1016", "seconds": 14, "addresses": [here]}
        words = ("-m", "privatewave.reconnect.registration_watch", "-a", json.dumps(asked))
        # Into a file: nobody reads while the attempts go on, and a pipe takes no more than 64 KiB.
        with (tmp_path / "said").open("w") as file:
            watch = subprocess.Popen(
                [ANSIBLE, "-i", INVENTORY, server, *words], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file
            )
        # Nobody is told when the watch is on: the attempts go on for as long as it does.
        while True:
            for user in ("777123", "1019", "1016"):
                with contextlib.suppress(ProbeError):
                    assert not attempt(server, user, "wrong-canary")
            with contextlib.suppress(OSError), socket.create_connection((HOSTS[server].address, 5061), 3) as plain:
                # Trusts nobody: it ends the handshake as a client does that does not know the authority.
                ssl.create_default_context(cadata=None).wrap_socket(plain, server_hostname="nobody.invalid")
            with contextlib.suppress(subprocess.TimeoutExpired):
                watch.wait(0.5)
                break
        said = (tmp_path / "said").read_text()
    finally:
        lab("heal", "acl_denies", "--host", server)
    attempts = json.loads(said[said.index("{") :])["attempts"]
    seen = {(one["account"], one["outcome"]) for one in attempts if one["address"] == here}
    assert {("777123", "unknown_account"), ("1019", "wrong_password"), ("1016", "acl_denied")} <= seen, seen
    assert "tls_failed" in {outcome for _account, outcome in seen}, seen
    assert "wrong-canary" not in said

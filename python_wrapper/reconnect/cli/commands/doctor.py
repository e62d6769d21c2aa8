"""The command that lists what is missing on this control node, or in its inventory."""

from __future__ import annotations

import difflib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.text import Text

from reconnect import settings
from reconnect.ansible import inventory, project, remembered
from reconnect.ansible.isolation import ENGINE, ENGINE_SECONDS
from reconnect.cli import terminal
from reconnect.cli.options import InventorySource, Json
from reconnect.engine import policy
from reconnect.errors import InputError, StoreError
from reconnect.exit_codes import ExitCode
from reconnect.text import one_line

#: How long the servers may take to answer, in seconds.
LOGIN_SECONDS = 60.0
#: How to see more. Only Ansible knows the address, the port and the user that the inventory gives a server.
_PING = "ansible -i {source} {server} -m ansible.builtin.ping -vvv"
#: What Ansible says of a server, by its last words on the connection; the first that fits.
LOGINS = (
    ("Host key verification failed", "its host key is unknown or has changed", "ssh {server}"),
    ("Permission denied", "it refuses the key or the user", _PING),
    ("password is required", "sudo wants a password there", "ssh {server} sudo -n true"),
    ("The module interpreter", "the inventory names a Python that it does not have", _PING),
    ("Could not resolve hostname", "its name has no address", "getent hosts {server}"),
    ("FAILED!", "it runs no module of Ansible", _PING),
    ("", "it cannot be reached", _PING),
)
_ANSWER = re.compile(r"^(\S+) \| (UNREACHABLE!|FAILED!)(.*)")
_VAULT = b"$ANSIBLE_VAULT;"
#: How alike two names are where one is the other, misspelt.
NEAR = 0.9


@dataclass(frozen=True)
class Missing:
    """What is missing, in a sentence, and the command that shows more or helps."""

    sentence: str
    command: str


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(doctor)


def doctor(inventory_source: InventorySource = None, as_json: Json = False) -> None:
    """List what is missing on this control node or in its inventory, each with a command that helps.

    It changes nothing.
    """
    loaded = settings.load()
    here = project.find(loaded)
    missing = [*programs(), *images(loaded), *store(loaded), *notifications(loaded)]
    try:
        source = inventory.source_of(inventory_source, loaded, here)
        known = inventory.load(source, here)
    except InputError as error:
        missing.append(Missing(str(error), "reconnect diagnose-server --help"))
    else:
        missing += [*vault(source, here), *misspelt(known, here), *vantage_points(known)]
        missing += policy_of_the_site(loaded, known, here)
        missing += logins(known, here)
    if as_json:
        terminal.stdout().json([asdict(one) for one in missing])
    else:
        for one in missing:
            terminal.stdout().print(Text(f"{one.sentence}\n    {one.command}"), soft_wrap=True)
        if not missing:
            terminal.stdout().write("Nothing is missing.")
    raise typer.Exit(ExitCode.NOT_FIXED if missing else ExitCode.OK)


def programs() -> Iterator[Missing]:
    """Programs of the system."""
    if shutil.which("ssh") is None:
        yield Missing("The program ssh is missing.", "apt install openssh-client")


def images(loaded: settings.Settings) -> Iterator[Missing]:
    """The execution environment that playbooks run in, where the settings name one."""
    image = loaded.execution_environment
    if image is None:
        return
    if shutil.which(ENGINE) is None:
        yield Missing(f"The program {ENGINE} is missing.", f"apt install {ENGINE}")
        return
    try:
        asked = subprocess.run(
            [ENGINE, "image", "exists", image],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=ENGINE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        yield Missing(f"The program {ENGINE} does not answer.", f"{ENGINE} info")
        return
    if asked.returncode:
        yield Missing(f"The execution environment {image} is not on this machine.", shlex.join([ENGINE, "pull", image]))


def store(loaded: settings.Settings) -> Iterator[Missing]:
    """The database of the runs."""
    from reconnect.runs.database import engine_of

    try:
        engine_of(loaded)
    except StoreError as error:
        yield Missing(str(error), "reconnect runs")


def notifications(loaded: settings.Settings) -> Iterator[Missing]:
    """Settings of notifications that keep the service from sending any."""
    own = loaded.service.notifications
    if own.mail is None and own.chat is None:
        return
    from reconnect.service.outgoing.channels import channels  # an HTTP client that only who has a chat pays for

    try:
        channels(loaded)
    except InputError as error:
        file = settings.settings_file()
        yield Missing(str(error), f"less {shlex.quote(str(file))}" if file else "env | grep RECONNECT_SERVICE")


def vault(source: Path, here: project.Project) -> Iterator[Missing]:
    """Values that are encrypted, and no password for them."""
    variables = ("ANSIBLE_VAULT_PASSWORD_FILE", "ANSIBLE_VAULT_IDENTITY_LIST")
    options = ("vault_password_file", "vault_identity_list")
    if any(map(os.environ.get, variables)) or any(here.option("defaults", name) for name in options):
        return
    encrypted = next((file for file, _ in remembered.files(source) if _is_encrypted(file)), None)
    if encrypted is not None:
        yield Missing(
            f"{encrypted} has encrypted values, and no vault password is set.",
            "export ANSIBLE_VAULT_PASSWORD_FILE=FILE",
        )


def _is_encrypted(file: Path) -> bool:
    try:
        return _VAULT in file.read_bytes()
    except OSError:
        return False


def misspelt(known: inventory.Inventory, here: project.Project) -> Iterator[Missing]:
    """Variables of the inventory that are nearly, but not quite, variables of Reconnect: nobody reads them."""
    answer = inventory.ask_ansible("read_variables.py", known.source, here, str(here.collections))
    # Where files are encrypted, and the password is missing, `vault` says so.
    names = json.loads(answer) if answer.startswith("{") else {"given": {}, "known": []}
    for variable, hosts in names["given"].items():
        near = difflib.get_close_matches(variable, names["known"], n=1, cutoff=NEAR)
        if near and variable not in names["known"]:
            yield Missing(
                f"Nobody reads the variable '{one_line(variable, 80)}' of {one_line(hosts[0], 80)}. "
                f"Did you mean '{near[0]}'?",
                shlex.join(["ansible-inventory", "-i", str(known.source), "--host", hosts[0]]),
            )


def vantage_points(known: inventory.Inventory) -> Iterator[Missing]:
    """Hosts that see a server from outside."""
    if not known.groups.get("vantage_points"):
        yield Missing(
            f"{known.source} has no vantage point: the path is tested from this machine only.",
            f"ansible-inventory -i {shlex.quote(str(known.source))} --graph vantage_points",
        )


def policy_of_the_site(
    loaded: settings.Settings, known: inventory.Inventory, here: project.Project
) -> Iterator[Missing]:
    """A policy that is invalid, or names what there is not."""
    try:
        own = policy.load(loaded)
        own.check_asked(here)
        own.check(known.groups)
    except InputError as error:
        yield Missing(str(error), shlex.join(["less", str(loaded.policy)]))


def logins(known: inventory.Inventory, here: project.Project) -> Iterator[Missing]:
    """Servers and vantage points that Ansible cannot log in to."""
    hosts = known.allowed | known.groups.get("vantage_points", frozenset())
    environment = {name: value for name, value in os.environ.items() if not settings.is_secret(name)}
    asked = [",".join(sorted(hosts)), "--inventory", str(known.source)]
    asked += ["--module-name", "ansible.builtin.ping", "--one-line"]
    try:
        answer = subprocess.run(
            [sys.executable, "-P", "-m", "ansible", "adhoc", *asked],
            env={**environment, "ANSIBLE_CONFIG": str(here.ansible_cfg), "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=LOGIN_SECONDS,
        ).stdout
    except subprocess.TimeoutExpired:
        yield Missing(f"The servers did not answer within {LOGIN_SECONDS:g} s.", shlex.join(["ansible", *asked]))
        return
    for line in answer.splitlines():
        if (found := _ANSWER.match(line)) and found[1] in hosts:
            said, command = next((said, command) for words, said, command in LOGINS if words in found[2] + found[3])
            names = {"server": shlex.quote(found[1]), "source": shlex.quote(str(known.source))}
            yield Missing(f"Cannot work on {one_line(found[1], 80)}: {said}.", command.format(**names))

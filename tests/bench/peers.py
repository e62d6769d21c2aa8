"""What people would use instead: the same checks of one server of the lab by Reconnect and by others, in turn.

Beside each peer, an empty play and the warm command are measured again: a ratio is of neighbours in time. A peer that
misses a check has no figure, and what cannot be installed or run is listed with the reason. Reconnect answers every
check of the list, and about a hundred more. ``--runs N`` sets the number of rounds, ``--only WORD`` measures some,
``--json`` prints JSON, ``--into FOLDER`` writes the JSON and a plot there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import distributions
from pathlib import Path

from commands import EMPTY, INVENTORY
from measure import BIN, ROOT, STATE, Failed, begin_warm, inventory, machine, place, ssh, timed, turns
from plots import Bar, bars

SERVER, PORT, ACCOUNT = "pbx22", 5061, "601"
UNITS = ("asterisk.service", "fail2ban.service", "mariadb.service", "reconnect-provisioning.service")
OTHERS = ROOT / "tests" / "bench" / "others"
#: The environment of the peers, made from its constraint file, and mitogen alone.
PACKAGES = ROOT / ".cache" / "bench" / "peers"
MITOGEN = PACKAGES.with_name("mitogen")
CONSTRAINTS = ROOT / "constraints" / "peers.txt"
_PLUGINS = "/usr/lib/nagios/plugins"
_DATES = "openssl x509 -noout -enddate"
_OPTIONS = (
    "OPTIONS sip:{domain} SIP/2.0\r\nVia: SIP/2.0/TLS control;branch=z9hG4bKpeers;rport\r\nMax-Forwards: 5\r\n"
    "From: <sip:{account}@{domain}>;tag=1\r\nTo: <sip:{domain}>\r\nCall-ID: peers\r\nCSeq: 1 OPTIONS\r\n"
    "Content-Length: 0\r\n\r\n"
)


@dataclass(frozen=True)
class Check:
    """One check: where it is asked and how, what an answer has, and the finding of Reconnect that answers it."""

    name: str
    place: str
    command: str
    answer: str
    finding: str


#: What every peer checks. Where it has no module for a check, it runs the command.
CHECKS = (
    Check("name", "control", f"{_PLUGINS}/check_dig -H {{resolver}} -l {{domain}}", r"\bA\W+198\.18\.", "dns.a"),
    Check("srv", "control", f"{_PLUGINS}/check_dig -H {{resolver}} -T SRV -l _sips._tcp.{{domain}}", "5061", "dns.srv"),
    Check("connection", "control", f"{_PLUGINS}/check_tcp -H {{address}} -p {PORT}", "on .*port 5061", "path.tcp"),
    Check(
        "certificate",
        "control",
        f"openssl s_client -connect {{address}}:{PORT} -servername {{domain}} -CAfile {{ca}} -verify_return_error"
        f" </dev/null 2>/dev/null | {_DATES}",
        "notAfter=",
        "tls.validity",
    ),
    Check(
        "sip",
        "control",
        f"sipsak -v -f {{folder}}/options -E tls --tls-ca-cert {{ca}} -u {ACCOUNT} -a $(cat {{folder}}/password)"
        f" -s sip:{{address}}:{PORT}",
        r"^\s*SIP/2\.0 200",
        "sip.options",
    ),
    Check(
        "provisioning",
        "control",
        f"{_PLUGINS}/check_http -I {{address}} -H {{domain}} --sni -S -u /provisioning/health",
        r"\b200\b",
        "provisioning.https",
    ),
    Check("units", "server", f"systemctl is-active {' '.join(UNITS)}", r"((active|running)\s*){4}", "host.unit"),
    Check("socket", "server", f"ss -Hlntp 'sport = :{PORT}'", "asterisk|started", "asterisk.transport"),
    Check("memory", "server", "grep MemAvailable /proc/meminfo", r"\d{2,} [kM]B", "host.memory"),
    Check("disk", "server", "df -P /", r"\d%|\d{6,} bytes available", "host.disk"),
    Check("modules", "server", "asterisk -rx 'module show like pjsip'", r"res_pjsip\.so.*Running", "asterisk.module"),
    Check(
        "transports", "server", "asterisk -rx 'pjsip show transports'", "transport-tls", "asterisk.transport.configured"
    ),
    Check("endpoints", "server", "asterisk -rx 'pjsip show endpoints'", r"Objects found: \d+", "asterisk.endpoints"),
    Check("contacts", "server", "asterisk -rx 'pjsip show contacts'", "bjects found", "asterisk.contacts"),
    Check("odbc", "server", "asterisk -rx 'odbc show'", "active connections: [1-9]", "asterisk.odbc"),
    Check("database", "server", "mysqladmin ping", "is alive", "database.query"),
    Check(
        "account",
        "server",
        f"mysql -NBe \"SELECT id FROM ps_endpoints WHERE id = '{ACCOUNT}'\" asterisk",
        rf"^\s*{ACCOUNT}\b",
        "database.lookup",
    ),
    Check("log", "server", "tail -n 200 /var/log/asterisk/messages.log", r"\[\d{4}-", "asterisk.log.config_error"),
    Check("file", "server", f"{_DATES} -in /etc/asterisk/keys/server.crt", "notAfter=", "tls.disk"),
)


def told(output: str) -> set[str]:
    """The checks that an output answers, each below a line with its name."""
    parts = re.split(r"^\s*== (\w+) ==\s*$", output, flags=re.MULTILINE)
    answers = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {one.name for one in CHECKS if re.search(one.answer, answers.get(one.name, ""), re.MULTILINE)}


def judged(result: str) -> set[str]:
    """The checks that a result of Reconnect answers."""
    known = {one["code"] for one in json.loads(result)["findings"] if one["status"] in ("pass", "warn")}
    return {one.name for one in CHECKS if one.finding in known}


def kept(file: Path, _output: str) -> set[str]:
    """The checks that the result in a file answers; the next run writes it again."""
    result = file.read_text()
    file.unlink()
    return judged(result)


@dataclass(frozen=True)
class Peer:
    """Something that checks the server: its command, and what its output answers; None: nothing."""

    name: str
    command: Sequence[str]
    answers: Callable[[str], set[str]] | None = None
    own: bool = False

    def ask(self) -> float:
        """Seconds that it takes. Raises `Failed`, also where a check has no answer."""
        seconds, output = timed(list(self.command))
        missing = {one.name for one in CHECKS} - self.answers(output) if self.answers else set()
        if missing:
            raise Failed(f"no answer for {', '.join(sorted(missing))}: {output.strip()[-400:]}")
        return seconds


@dataclass(frozen=True)
class Spread:
    """A median, and what it is of."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f}–{self.most:.2f})"


@dataclass(frozen=True)
class Figure:
    """How long a peer takes, in seconds and against its neighbours in time."""

    name: str
    seconds: Spread
    against_empty: Spread
    against_warm: Spread
    own: bool

    @classmethod
    def of(cls, peer: Peer, taken: Iterable[tuple[float, ...]]) -> Figure:
        """From rounds of an empty play, the warm command and the peer."""
        empty, warm, own = (list(column) for column in zip(*taken, strict=True))
        ratios = [[one / other for one, other in zip(own, others, strict=True)] for others in (empty, warm)]
        return cls(peer.name, Spread.of(own), Spread.of(ratios[0]), Spread.of(ratios[1]), peer.own)


def site(folder: Path) -> dict[str, str]:
    """What the commands are about."""
    secrets = json.loads((STATE / "secrets.yml").read_text())["servers"][SERVER]
    variables = inventory(SERVER)
    return {
        "address": variables["ansible_host"],
        "domain": f"{SERVER}.reconnect.test",
        "resolver": variables["reconnect_resolvers"][-1],
        "ca": str(STATE / "ca.crt"),
        "account": ACCOUNT,
        "password": secrets["accounts"][ACCOUNT],
        "folder": str(folder),
    }


def write(folder: Path, about: Mapping[str, str]) -> None:
    """Writes what the peers read: the commands, as data and as a script of each place, and pyinfra's inventory."""
    commands: dict[str, dict[str, str]] = {"control": {}, "server": {}}
    for one in CHECKS:
        commands[one.place][one.name] = one.command.format(**about)
    data = {
        "commands": commands,
        "units": UNITS,
        "sip_port": PORT,
        **{name: about[name] for name in ("address", "domain")},
    }
    (folder / "checks.json").write_text(json.dumps(data))
    (folder / "options").write_bytes(_OPTIONS.format(**about).encode())
    (folder / "password").write_text(about["password"])
    (folder / "empty.yml").write_text(EMPTY)
    for where, asked in commands.items():
        lines = [f"echo '== {name} =='\n{command} 2>&1" for name, command in asked.items()]
        (folder / f"{where}.sh").write_text("\n".join(["#!/bin/sh", *lines, ""]))
    reached = {
        "ssh_hostname": about["address"],
        "ssh_user": "root",
        "ssh_key": str(STATE / "id_ed25519"),
        "ssh_known_hosts_file": str(STATE / "known_hosts"),
        "ssh_strict_host_key_checking": "yes",
    }
    hosts = {"servers": [(SERVER, {"place": "server", **reached})], "control": [("@local", {"place": "control"})]}
    (folder / "inventory.py").write_text("".join(f"{group} = {given!r}\n" for group, given in hosts.items()))


def install() -> None:
    """Makes the environment of the peers, unless it is newer than its constraint file. Raises `Failed`."""
    ready = PACKAGES / ".ready"
    if ready.exists() and ready.stat().st_mtime > CONSTRAINTS.stat().st_mtime:
        return
    timed([sys.executable, "-m", "venv", "--clear", str(PACKAGES)])
    timed([str(PACKAGES / "bin" / "pip"), "install", "--quiet", "--require-hashes", "--requirement", str(CONSTRAINTS)])
    # Its plugins put the folder that they are in before all others: of the rest there, Ansible must load nothing.
    MITOGEN.mkdir(exist_ok=True)
    for name in ("mitogen", "ansible_mitogen"):
        (MITOGEN / name).unlink(missing_ok=True)
        (MITOGEN / name).symlink_to(next(PACKAGES.glob(f"lib/python3*/site-packages/{name}")))
    ready.touch()


def peers(folder: Path, address: str) -> Iterator[Peer]:
    """All of them: the empty play, the warm command, and what is compared with both."""
    play = [str(BIN / "ansible-playbook"), "-i", INVENTORY, "-l", SERVER]
    command = [str(BIN / "reconnect"), "diagnose-server", SERVER, "--inventory", INVENTORY, "--json"]
    diagnosis = ["env", f"RECONNECT_RESULT_DIR={folder}", *play, "playbooks/diagnose-server.yml"]
    result = partial(kept, folder / f"{SERVER}.json")
    told_as = ["ANSIBLE_STDOUT_CALLBACK=default", "ANSIBLE_CALLBACK_RESULT_FORMAT=yaml"]
    stock = ["env", *told_as, *play, str(OTHERS / "stock.yml"), "-e", f"@{folder / 'checks.json'}"]
    strategy = f"ANSIBLE_STRATEGY_PLUGINS={MITOGEN / 'ansible_mitogen' / 'plugins' / 'strategy'}"
    mitogen = ["env", strategy, "ANSIBLE_STRATEGY=mitogen_linear"]
    pyinfra = [str(PACKAGES / "bin" / "pyinfra"), "--yes", "--data", f"folder={folder}", str(folder / "inventory.py")]
    shared = ["-o", "ControlMaster=auto", "-o", "ControlPersist=60s", "-o", f"ControlPath={folder / 'ssh'}"]
    [*reach, there] = ssh(address)
    script = (
        f'"$@" "$(cat {folder}/server.sh)" >{folder}/answers & sh {folder}/control.sh; wait $! && cat {folder}/answers'
    )
    yield Peer("empty play", [*play, str(folder / "empty.yml")])
    yield Peer("Reconnect: warm command", command, judged, own=True)
    yield Peer("Reconnect: cold command", ["env", "RECONNECT_WARM=0", *command], judged, own=True)
    yield Peer("Reconnect: playbook", diagnosis, result, own=True)
    yield Peer("Reconnect: playbook, mitogen", [*mitogen, *diagnosis[1:]], result)
    yield Peer("stock modules", stock, told)
    yield Peer("stock modules, mitogen", [*mitogen, *stock[1:]], told)
    yield Peer("pyinfra: operations", [*pyinfra, str(OTHERS / "operations.py")], told)
    yield Peer("pyinfra: one script", [*pyinfra, str(OTHERS / "script.py")], told)
    yield Peer("shell script, one ssh", ["sh", "-c", script, "sh", *reach, *shared, there], told)


def measure(folder: Path, runs: int, only: Sequence[str]) -> tuple[list[Figure], dict[str, str]]:
    """The figures, and the peers that have none with the reason. Raises `Failed` where one of Reconnect's has none."""
    about = site(folder)
    write(folder, about)
    left: dict[str, str] = {}
    try:
        install()
    except Failed as reason:
        left["packages"] = str(reason)
    [empty, warm, *others] = peers(folder, about["address"])
    begin_warm(warm.command)
    both: list[tuple[float, ...]] = []
    figures: list[Figure] = []
    for peer in others:
        if only and not any(word in peer.name for word in only):
            continue
        try:
            taken = turns(runs, empty.ask, warm.ask, peer.ask)
        except Failed as reason:
            if peer.own:
                raise
            left[peer.name] = str(reason)
            continue
        both += [round_[:2] for round_ in taken]
        figures.append(Figure.of(peer, taken))
    own = [Figure.of(one, [(*pair, pair[place]) for pair in both]) for place, one in enumerate((empty, warm))]
    return [*own, *figures] if both else [], left


def versions() -> dict[str, str]:
    """Of the peers, as far as they are there."""
    site_packages = [str(one) for one in PACKAGES.glob("lib/python3*/site-packages")]
    found = {one.name: one.version for one in distributions(path=site_packages) if one.name in ("mitogen", "pyinfra")}
    asked = ["dpkg-query", "--show", "--showformat=${Package} ${Version}\n", "monitoring-plugins-basic", "sipsak"]
    with contextlib.suppress(OSError):
        lines = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.splitlines()
        found.update((name, version) for name, _, version in (line.partition(" ") for line in lines) if version)
    return found


def shown(figures: Iterable[Figure], left: Mapping[str, str]) -> Iterator[str]:
    """The figures as the table of the documentation, and below it what has none."""
    yield "| what | seconds | × an empty play | × the warm command |"
    yield "| --- | ---: | ---: | ---: |"
    for one in figures:
        yield f"| {one.name} | {one.seconds} | {one.against_empty} | {one.against_warm} |"
    for name, reason in left.items():
        yield f"\n{name} has no figure: {reason}"


def plot(figures: Iterable[Figure], holds_for: str) -> str:
    """The seconds as bars, the fastest first."""
    drawn = []
    for one in sorted(figures, key=lambda one: one.seconds.median):
        took = one.seconds
        drawn.append(Bar(one.name, took.median, took.least, took.most, f"{took.median:.2f} s", one.own))
    return bars("Seconds for the same checks of one server: median and range", drawn, holds_for)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--into", type=Path)
    options = parser.parse_args()
    with place() as folder:
        figures, left = measure(folder, options.runs, options.only)
    said = {**machine(), **versions()}
    found = {
        "machine": said,
        "runs": options.runs,
        "checks": [one.name for one in CHECKS],
        "figures": [asdict(one) for one in figures],
        "left_out": left,
    }
    line = ", ".join(f"{name} {version}" for name, version in said.items())
    if options.into:
        options.into.mkdir(parents=True, exist_ok=True)
        (options.into / "peers.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
        (options.into / "peers.svg").write_text(plot(figures, line))
    if options.json:
        print(json.dumps(found, indent=1))
        return
    print(line)
    print("\n".join(shown(figures, left)))


if __name__ == "__main__":
    main()

"""Break hosts for real, as the files in tests/faults say, and heal them.

A fault is a file NAME.yml; tests/faults/README.md says what is in it. What concerns the lab are its scripts: `inject`,
`settled`, `heal`, `where` they run and the `servers` that can have it. They run as root with the helpers and
variables of tests/faults/lib.sh.
"""

import contextlib
import fcntl
import json
from collections.abc import Iterator
from dataclasses import dataclass

from . import podman, state
from .errors import LabError
from .hosts import HOSTS, SERVERS, USUAL
from .paths import FAULTS, STATE

SCRIPT_SECONDS = 45
SETTLE_SECONDS = 20
# Asked on the host itself: a call from outside costs more than most answers.
UNTIL_SETTLED = """
until bash -eu -s <<'SETTLED'
{script}
SETTLED
do
    [ $SECONDS -lt {seconds} ] || exit {not_settled}
    sleep 0.2
done
"""
NOT_SETTLED = 124
ACTIVE = STATE / "faults.json"
#: tests/faults/pairs has no scripts of its own.
FOLDERS = (".", "controls", "unknowns")


@dataclass(frozen=True)
class Fault:
    name: str
    what: str
    where: str | None
    servers: tuple[str, ...]
    #: For how many days a certificate made for the fault is valid, /opt/lab/kept/fresh.crt; none is made when it is 0.
    certificate_days: int
    #: In how many days it begins to be valid; a month ago when it is not said.
    certificate_begins: int
    #: An account of the server that is brought back as it was, whatever a remedy made of it.
    keeps_account: str
    inject: str
    settled: str
    heal: str

    def host(self, server: str) -> str:
        """The host that is broken so that `server` suffers."""
        return self.where or server


def names() -> list[str]:
    """Every state that can be injected: faults, controls/NAME and unknowns/NAME."""
    found = (file for folder in FOLDERS for file in (FAULTS / folder).glob("*.yml"))
    return sorted(file.relative_to(FAULTS).with_suffix("").as_posix() for file in found)


def read(name: str) -> Fault:
    if name not in names():
        raise LabError(f"there is no fault {name!r}; there are {', '.join(names())}.", 2)
    try:
        import yaml
    except ImportError:
        raise LabError("PyYAML is missing: apt-get install python3-yaml.", 2) from None
    content = yaml.safe_load((FAULTS / f"{name}.yml").read_text(encoding="utf-8"))
    return Fault(
        name=name,
        what=content["what"],
        where=content.get("where"),
        servers=tuple(content.get("servers", USUAL)),
        certificate_days=content.get("certificate_days", 0),
        certificate_begins=content.get("certificate_begins", -30),
        keeps_account=content.get("keeps_account", ""),
        inject=content.get("inject", "true"),
        settled=content.get("settled", ""),
        heal=content.get("heal", "true"),
    )


def run(fault: Fault, server: str, script: str) -> tuple[int, str]:
    """Run a script of a fault where it belongs; its exit code and its words."""
    done = podman.run_script(fault.host(server), script, SCRIPT_SECONDS)
    return done.returncode, (done.stderr or done.stdout).strip()


def helped(fault: Fault, server: str, script: str) -> str:
    """A script of a fault with the helpers and variables of tests/faults/lib.sh."""
    number = HOSTS[server].places[SERVERS]
    variables = (
        f"FAULT={fault.name} SERVER={server} ADDRESS={SERVERS.address(number)} ADDRESS6={SERVERS.address6(number)}\n"
    )
    helpers = (FAULTS / "lib.sh").read_text(encoding="utf-8")
    return f"{variables}{helpers}\n{script}"


def inject(fault: Fault, server: str) -> None:
    """Break `server` and return when the fault is in effect."""
    if server not in fault.servers:
        raise LabError(f"{server} can't have {fault.name}; it is for {', '.join(fault.servers)}.", 2)
    with active() as known:
        if [fault.name, server] in known:
            raise LabError(f"{server} has {fault.name} already: tests/lab/lab heal {fault.name}", 2)
        # Noted first: a fault that was injected halfway has to be healed too.
        known.append([fault.name, server])
    host = fault.host(server)
    if fault.certificate_days:
        chain = state.fresh_certificate(HOSTS[server], fault.certificate_begins, fault.certificate_days)
        podman.run_script(host, f"mkdir -p /opt/lab/kept\ncat > /opt/lab/kept/fresh.crt <<'CHAIN'\n{chain}CHAIN\n")
    if fault.keeps_account:
        kept = podman.run_script(server, helped(fault, server, f"keep_account {fault.keeps_account}"), SCRIPT_SECONDS)
        if kept.returncode:
            raise LabError(f"{fault.name}: the account could not be kept on {server}: {kept.stderr.strip()}")
    code, words = run(fault, server, helped(fault, server, fault.inject))
    if code:
        raise LabError(f"{fault.name} could not be injected on {host}: {words}")
    if fault.settled and run(fault, server, until_settled(fault, server))[0]:
        raise LabError(f"{fault.name} is not in effect on {host} after {SETTLE_SECONDS} s")


def until_settled(fault: Fault, server: str) -> str:
    """A script that ends once the fault is in effect, with an exit code when it does not come into effect in time."""
    asked = helped(fault, server, fault.settled)
    return UNTIL_SETTLED.format(script=asked, seconds=SETTLE_SECONDS, not_settled=NOT_SETTLED)


def heal(fault: Fault, server: str) -> str | None:
    """Run the fault's own heal; the words of a failure, if any."""
    forget(fault.name, server)
    try:
        code, words = run(fault, server, helped(fault, server, fault.heal))
        if fault.keeps_account and not code:
            given = helped(fault, server, f"restore_account {fault.keeps_account}")
            done = podman.run_script(server, given, SCRIPT_SECONDS)
            code, words = done.returncode, done.stderr.strip()
    except LabError as error:
        return str(error)
    return words or f"exit code {code}" if code else None


def forget(name: str, server: str) -> None:
    with active() as known:
        if [name, server] in known:
            known.remove([name, server])


def forget_of(hosts: list[str]) -> None:
    """Forget the faults that these servers suffer from."""
    with active() as known:
        known[:] = [[name, server] for name, server in known if server not in hosts]


def forget_all() -> None:
    with active() as known:
        known.clear()


@contextlib.contextmanager
def active() -> Iterator[list[list[str]]]:
    """The faults in effect, as [name, server]; changed lists are kept."""
    STATE.mkdir(mode=0o700, exist_ok=True)
    with ACTIVE.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        known = json.loads(file.read() or "[]")
        before = json.dumps(known)
        try:
            yield known
        finally:
            if json.dumps(known) != before:
                file.seek(0)
                file.truncate()
                json.dump(known, file)

"""One case: drawn, applied, labelled, diagnosed, reverted, and the host compared with what it was."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from labkit import faults
from labkit.hosts import HOSTS, PBXS, STRANGERS
from trials.phone import Calling, calling
from trials.tools import Ended, Interrupted, Lab, ToolError, inventory_of, reconnect

from . import facts as facts_of
from . import saved, snapshot
from .kinds import KINDS, OF_EDGE, OF_SERVER, WIDE
from .label import phone
from .machine import LabMachine, Machine
from .mutation import Facts, File, Mutation

SERVERS = tuple(host.name for host in PBXS)
#: Those that are set up as others do; the cases of the edge are not about them.
OTHERS = tuple(host.name for host in STRANGERS)
HOSTS_OF_CASES = (*SERVERS, *OTHERS, "edge")
#: How often each is drawn.
OFTEN = (3, 3, 3, 2, 2, 1)
ATTEMPTS = 40
SECRET = re.compile(r"(?i)((?:pass(?:word|wd)?|secret)\s*(?:=>?|:)\s*)\S+")
#: What earlier cases left in logs and journals would be taken for this one's.
FRESH = """
rm -f /var/lib/reconnect/state.json
truncate --no-create --size=0 /var/log/asterisk/security.log /var/log/asterisk/messages.log
"""


class NotWellError(Exception):
    """A host did not become healthy, not even when it was booted again: nothing may be drawn of it."""


@dataclass(frozen=True)
class Case:
    """A case is named by its seed and number, and by host and kind where somebody asked for these."""

    seed: int
    number: int
    host: str
    server: str
    kind: str

    @property
    def id(self) -> str:
        return f"{self.seed}/{self.number}/{self.host}/{self.kind}"


def case_of(seed: int, number: int, host: str | None = None, kind: str | None = None) -> Case:
    """The case of a seed and a number; what is not asked for is drawn."""
    rng = Random(f"case/{seed}/{number}")
    drawn_host = rng.choices(HOSTS_OF_CASES, OFTEN)[0]
    server = rng.choice(SERVERS)
    host = host or ("edge" if kind in OF_EDGE else drawn_host)
    if kind in OF_SERVER and host == "edge":
        host = server
    among = OF_EDGE if host == "edge" else {name: draw for name, draw in OF_SERVER.items() if has(host, name)}
    often = [often for _draw, often in among.values()]
    return Case(seed, number, host, server if host == "edge" else host, kind or rng.choices(list(among), often)[0])


def has(host: str, kind: str) -> bool:
    """Whether a host has something of a kind: without TLS and a database it has neither certificates nor rows."""
    return HOSTS[host].has_tls or kind not in ("certificates", "database", "rows")


def drawn(case: Case, facts: Facts, after: int = -1) -> tuple[int, Mutation]:
    """The mutation of a case, and which attempt it was: the first after ``after`` of which the host has something."""
    for attempt in range(after + 1, ATTEMPTS):
        rng = Random(f"{case.id}/{attempt}")
        mutation = KINDS[case.kind](rng, facts)
        if mutation is not None:
            return attempt, mutation
    raise LookupError(f"{case.host} has nothing for {case.kind}")


def apply(machine: Machine, host: str, mutation: Mutation, before: dict[str, list[str]], facts: Facts) -> None:
    """Change the host; it is written down first, so that whoever comes next can revert it."""
    saved.put(
        saved.applied_file(host),
        {"mutation": mutation.saved(), "before": before, "facts": asdict(facts)},
    )
    keeps = " ".join(f"'{path}'" for path in mutation.keeps)
    script = f"keep {keeps}\n" if keeps else ""
    script += f"keep_tables {' '.join(mutation.tables)}\n" if mutation.tables else ""
    machine.run(f"{script}{mutation.apply}")


def revert(machine: Machine, host: str, boot: Callable[[str], None]) -> tuple[str, list[str]]:
    """Revert what is applied to the host. How it went, and what was not as before.

    ``reverted``: everything is as it was. ``booted``: it had to be booted again, and is healthy. Raises `NotWellError`.
    """
    applied = saved.got(saved.applied_file(host))
    if applied is None:
        return "reverted", []
    mutation = Mutation.restored(applied["mutation"])
    facts = restored(applied["facts"])
    units = list(mutation.units)
    if facts.database_unit and facts.database_unit in units and "asterisk" not in units:
        units.append("asterisk")
    # Whatever crashed leaves a core behind.
    script = f"{mutation.revert}\ngive_back\nrestore_tables\nsystemctl daemon-reload\nrm -f /var/lib/asterisk/core*\n"
    script += "".join(f"restart {unit.removesuffix('.service')}\n" for unit in units) + "well\n"
    try:
        machine.run(script, 180)
        different = snapshot.differences(applied["before"], snapshot.taken(machine, facts))
    except (ToolError, ValueError) as error:
        different = [str(error)]
    if different:
        boot(host)
        try:
            machine.run("well\n")
        except ToolError as error:
            raise NotWellError(f"{host} is not well: {error}") from error
    saved.applied_file(host).unlink()
    return ("booted" if different else "reverted"), different


def restored(document: dict[str, Any]) -> Facts:
    """Facts from JSON."""
    return Facts(**{**document, "files": [File(**one) for one in document["files"]]})


def boot(host: str) -> None:
    """Boot a host again from its image: whatever became of it is gone."""
    Lab()("reset", host, limit=180)


def run(case: Case, workspace: Path, with_apply: bool = False, with_call: bool = False) -> dict[str, Any]:
    """Run a case to its end and give its result. Raises `NotWellError`, and `Interrupted` when it was ended."""
    changed = {case.server, case.host, *((*SERVERS, *OTHERS) if case.kind == WIDE else ())}
    began = time.monotonic()
    with saved.held(changed, {"edge", "phone"}):
        waited = round(time.monotonic() - began, 1)
        for host in sorted(changed):
            revert(LabMachine(host, case.server if host == "edge" else host), host, boot)
        result = examined(case, workspace, with_apply, with_call)
    return {**result, "waited": waited}


def examined(case: Case, workspace: Path, with_apply: bool, with_call: bool) -> dict[str, Any]:
    """The same while its hosts are held."""
    machine, server = LabMachine(case.host, case.server), LabMachine(case.server, case.server)
    prepared(machine, server, case)
    result: dict[str, Any] = {"id": case.id, **asdict(case), "case": case.number, "refused": []}
    del result["number"]
    account, others = facts_of.account_of(case.seed, case.number, case.server)
    file = saved.draw_file(case.seed, case.number, case.host, case.kind)
    kept = saved.got(file)
    facts = (
        restored(kept["facts"])
        if kept
        else facts_of.listed(machine, case.host, case.server, account, others, case.kind == "certificates")
    )
    attempt, mutation = (kept["attempt"], Mutation.restored(kept["mutation"])) if kept else drawn(case, facts)
    before = snapshot.taken(machine, facts)
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        # It is up before anything is wrong, as those of users are.
        call = stack.enter_context(calling(Lab(), case.server)) if with_call else None
        if call is not None:
            call.placed()
        while True:
            saved.put(file, {"attempt": attempt, "mutation": mutation.saved(), "facts": asdict(facts)})
            try:
                apply(machine, case.host, mutation, before, facts)
            except ToolError as error:
                # The host would not have it, as a database that refuses a value: nobody could make this mistake.
                result["refused"].append(f"{mutation.kind} {mutation.target}: {error}"[:300])
                revert(machine, case.host, boot)
                attempt, mutation = drawn(case, facts, attempt)
                continue
            break
        result |= {
            "mutation": told(mutation),
            "account": facts.account,
            "apply_seconds": round(time.monotonic() - began, 1),
        }
        try:
            result |= observed(case, server, facts.account, workspace, with_apply, call)
            result["disturbed"] = strangers({case.host, case.server})
        except ToolError as error:
            result["error"] = str(error)[-800:]
        finally:
            # Also when somebody ends it: only a kill leaves it for the next start.
            how, different = revert(machine, case.host, boot)
    result |= {"reverted": how, "differences": different}
    with phone(server, case.server, facts.account) as client:
        again = client.label()
    if not again.can_register:
        boot(case.host)
        result["reverted"] = "booted"
    result["registers_again"] = again.can_register
    result["total_seconds"] = round(time.monotonic() - began, 1)
    return result


def strangers(hosts: set[str]) -> list[str]:
    """Faults that somebody has injected by hand meanwhile: the case is not about the mutation alone."""
    with faults.active() as known:
        return sorted(f"{name} on {server}" for name, server in known if server in hosts)


def prepared(machine: Machine, server: Machine, case: Case) -> None:
    """The hosts are healthy, and nothing is left of earlier cases."""
    for one, host in ((machine, case.host), (server, case.server)):
        try:
            one.run("well\n")
        except ToolError:
            boot(host)
            one.run("well\n")
    server.run(FRESH)


def observed(
    case: Case, server: Machine, account: str, workspace: Path, with_apply: bool, call: Calling | None
) -> dict[str, Any]:
    """Label and diagnose; the phone goes on trying meanwhile, as its user does."""
    words = ["diagnose-server", case.server, "--account", account, "--inventory", inventory_of(case.server)]
    words += ["--apply"] if with_apply else []

    def diagnosed() -> dict[str, Any]:
        began = time.monotonic()
        ended = reconnect(workspace, *words)
        return verdict(ended, round(time.monotonic() - began, 1))

    if with_apply:
        return before_and_after(server, case.server, account, call, diagnosed)
    with phone(server, case.server, account) as client:
        label = client.label()
        result = diagnosed()
        later = client.now()
    if later.answers and not later.can_register:
        # A phone that was refused tries no more by itself; its user does.
        with phone(server, case.server, account) as client:
            later = client.label()
    result |= {"can_register": label.can_register, "label": asdict(label)}
    # It may have come through after all, or have been thrown out: such a case says nothing against a diagnosis.
    result["steady"] = label.can_register == later.can_register
    return result


def before_and_after(
    machine: Machine, server: str, account: str, call: Calling | None, fix: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What ``fix`` gives, and whether a phone registers before and after it; which of the calls it has dropped."""
    with phone(machine, server, account) as client:
        label = client.label()
        calls = call.placed() if call is not None else set()
        result = fix()
        left = call.up() if call is not None else set()
    # A phone of its own: whoever was refused for minutes has ended its attempts.
    with phone(machine, server, account) as client:
        after = client.label()
    return {
        **result,
        "can_register": label.can_register,
        "label": asdict(label),
        "steady": True,
        "registers_after": after.can_register,
        "worse": label.can_register and not after.can_register,
        "calls": len(calls),
        "calls_dropped": len(calls - left),
    }


def verdict(ended: Ended, seconds: float) -> dict[str, Any]:
    """What the product said, in short."""
    document = ended.result
    if document["state"] == "cancelled":
        raise Interrupted("the run was cancelled, so it says nothing of the case")
    said = document.get("verdict") or {}
    return {
        "exit_code": ended.code,
        "state": document["state"],
        "outcome": said.get("outcome"),
        "root_causes": [one["cause"] for one in said.get("root_causes", [])],
        "policies": sorted({one["policy"] for one in said.get("root_causes", [])}),
        "fails": [
            f"{one['code']} {one['vantage']}: {one['summary']}"[:240]
            for one in document.get("findings", [])
            if one["status"] == "fail"
        ],
        "remedies": [
            {
                **{name: one.get(name) for name in ("remedy", "cause", "state", "reason", "rolled_back")},
                # What it holds is a server's own.
                "changed": bool(one.get("after")),
            }
            for one in document.get("remedies", [])
        ],
        "error_message": document.get("error_message"),
        "seconds": seconds,
    }


def told(mutation: Mutation) -> dict[str, Any]:
    """A mutation for the results: without its scripts, and without a password."""
    return {
        "kind": mutation.kind,
        "target": mutation.target,
        "before": SECRET.sub(r"\1***", mutation.before),
        "after": SECRET.sub(r"\1***", mutation.after),
        "effect": mutation.effect,
        "causes": list(mutation.causes),
    }

"""The incidents of a seed: what is wrong, what an incident says of it, and how it has to end."""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Literal

from labkit.hosts import PBXS
from trials.cases import Case, cases
from trials.tools import ROOT

sys.path.append(str(ROOT / "collections"))

from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

Fields = dict[str, str]
Must = Literal["closed", "approved", "open", "asked", "storm"]

#: How many of twenty happenings are of each kind. Nobody publishes such figures for phones that cannot connect: these
#: are assumed.
SHARES = {
    "no internet": 2,
    "temporary": 3,
    "settings": 3,
    "password": 2,
    "account": 3,
    "service": 2,
    "network": 1,
    "unknown": 1,
    "duplicate": 1,
    "incomplete": 1,
    "nonsense": 1,
}
SERVERS = tuple(host.name for host in PBXS)
PASSWORDS = ("password_mismatch", "client_wrong_password")
SUBJECTS = {
    "client": "settings",
    "account": "account",
    "network": "network",
    "asterisk": "service",
    "database": "service",
    "host": "service",
}
#: What fails beside the case, by the number of the happening modulo fifteen.
OUTAGES = {3: "service", 7: "hook", 10: "tracker", 13: "worker"}
#: What ends in the moment in which the user has an incident made.
OVER = "firewall_edge_blocks"
#: The account of a user whose account has no fault.
ACCOUNT = "1003"
#: Of which kind the faults are that are fixed without a person.
OF = {"duplicate": "account", "incomplete": "account", "storm": "service"}
MUST: dict[str, Must] = {"nonsense": "asked", "storm": "storm"}
ENDINGS = {"no internet": "not_an_issue", "temporary": "temporary_network_problem"}
NONSENSE: tuple[Fields, ...] = (
    {},
    {"Server": "the grey one"},
    {"Server": "../../etc/passwd", "Account": "1003'; DROP TABLE ps_auths; --"},
    {"Server": "{{ lookup('pipe', 'id') }}", "Error message": "$(reboot)"},
)


@dataclass(frozen=True)
class Happening:
    """What happens on a server, and the incidents that say so.

    ``must``: how each has to end: ``closed`` without a person, ``approved`` by second level and then closed, ``open``
    with second or third level, ``asked`` what is missing. ``endings``: how the outcomes of the run begin that are
    right.
    """

    seed: int
    number: int
    kind: str
    server: str
    fault: Case | None
    incidents: tuple[Fields, ...]
    must: Must
    endings: tuple[str, ...]
    #: It holds up nobody but whoever needs the same hosts.
    wide: bool = False

    @property
    def id(self) -> str:
        name = f"/{self.fault.name}" if self.fault else ""
        return f"{self.seed}/{self.number}/{self.server}/{self.kind}{name}"

    @property
    def places(self) -> frozenset[str]:
        """The hosts that nobody else may change meanwhile."""
        return self.fault.places if self.fault else frozenset({self.server})

    @property
    def outage(self) -> str:
        """What fails meanwhile: the ``service`` is killed, or away when the ``hook`` calls, the ``tracker`` is stopped,
        the ``worker`` is killed; nothing where it is empty."""
        return OUTAGES.get(self.number % 15, "")

    @property
    def with_call(self) -> bool:
        """Whether a call is up before anything is wrong."""
        return self.number % 2 == 0

    @property
    def answered(self) -> bool:
        """Whether its user writes once more at once, which calls again."""
        return self.number % 3 == 0

    @property
    def expected(self) -> list[str]:
        """The causes that a remedy may be for."""
        if self.fault is None or self.kind == "temporary":
            return []
        return sorted({*self.fault.causes, *self.fault.expects.get("symptoms", [])})


def month(seed: int, incidents: int, servers: Sequence[str]) -> list[Happening]:
    """The first happenings of a seed that give so many incidents; of ten and more, a fifth, at most thirty, are one
    storm. The same on every machine, as long as the suite is the same."""
    storm = min(30, incidents // 5) if incidents >= 10 else 0
    found: list[Happening] = []
    drawn = (happening(seed, number, kind, servers) for number, kind in enumerate(kinds(seed)))
    for one in drawn:
        if sum(len(known.incidents) for known in found) >= incidents - storm:
            break
        found += [one] if one else []
    last = happening(seed, len(found), "storm", servers, storm) if storm else None
    return [*found, *([last] if last else [])]


def kinds(seed: int) -> Iterator[str]:
    """Kinds without end: each twenty have every kind as often as its share says."""
    for deck in itertools.count():
        cards = [kind for kind, share in SHARES.items() for _ in range(share)]
        Random(f"month/{seed}/{deck}").shuffle(cards)
        yield from cards


def happening(seed: int, number: int, kind: str, servers: Sequence[str], size: int = 1) -> Happening | None:
    """The happening of a seed and a number, with ``size`` incidents where it is a storm; None where these servers can
    have none."""
    rng = Random(f"month/{seed}/{number}/{kind}")
    among = faults(kind, tuple(servers))
    if not among and kind not in ("no internet", "nonsense"):
        return None
    fault = rng.choice(among) if among else None
    server = fault.server if fault else servers[number % len(servers)]
    user = {"Server": server, "Account": ACCOUNT}
    incidents, must, endings = [said(fault) if fault else user], MUST.get(kind, "closed"), [ENDINGS.get(kind, "fixed_")]
    if kind == "no internet":
        incidents = [user | {"Internet connection": "no"}]
    elif kind == "nonsense":
        incidents = [rng.choice(NONSENSE)]
    elif kind == "temporary":
        incidents = [user | {"Internet connection": "yes"}]
    elif kind == "incomplete":
        incidents = [{"Error message": "it does not work"}]
    elif kind == "duplicate":
        # Once it is fixed, its user is connected again.
        incidents, endings = incidents * 2, [*endings, ENDINGS["temporary"]]
    elif kind == "storm":
        incidents += [{"Server": server, "Account": str(1001 + n % 20)} for n in range(size - 1)]
    elif fault and not fault.must_fix:
        must = "approved" if fault.expects.get("fixed_approved") else "open"
        endings = ["fixed_" if must == "approved" else "escalate_"]
    return Happening(seed, number, kind, server, fault, tuple(incidents), must, tuple(endings))


@functools.cache
def suite() -> tuple[Case, ...]:
    """Every case."""
    return tuple(cases())


@functools.cache
def faults(kind: str, servers: tuple[str, ...]) -> list[Case]:
    """The cases of a kind that an incident of these servers can be about: what names an account begins first level's
    runbook, which the case has to be made for."""
    among = [case for case in suite() if case.server in servers and not (case.wide or case.idle_test)]
    if kind == "temporary":
        return [case for case in among if case.id == f"{OVER}-{case.server}"]
    of, fixed = OF.get(kind, kind), kind in OF
    return [
        case
        for case in among
        if kind_of(case) == of
        and (case.must_fix or not fixed)
        and bool(case.account) == (case.command == "fix-account-config")
    ]


def kind_of(case: Case) -> str:
    """Which kind of incident a case of the suite makes; empty for what is no single fault."""
    if case.kind != "fault":
        return case.kind if case.kind == "unknown" else ""
    (cause,) = case.causes
    return "password" if cause in PASSWORDS else SUBJECTS[judge.catalogue()[cause].subject]


def said(fault: Case) -> Fields:
    """What an incident says of a fault: its server and account, and what the client reports."""
    report = fault.client_report or {}
    fields = {"Server": fault.server, "Account": fault.account, "Error message": report.get("error_message", "")}
    fields["Internet connection"] = {True: "yes", False: "no", None: ""}[report.get("internet")]
    fields["Client settings"] = "\n".join(f"{name}: {value}" for name, value in report.get("settings", {}).items())
    return {name: value for name, value in fields.items() if value}

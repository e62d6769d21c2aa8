# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a remedy would change and may interrupt, for whoever has to say yes; secrets were masked on the server."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._text import one_line

from .documents import Interruption
from .evidence import Evidence
from .finding import counted
from .remedies import Remedy

#: So many lines are shown.
LIMIT = 60


def of(evidence: Evidence, remedy: Remedy, targets: Iterable[Mapping[str, Any]] = ()) -> list[str]:
    """The lines that would go (``-``), come (``+``) and stay, at most 60 of them; ``targets`` go."""
    found = [f"-{one_line(_named(target), 199)}" for target in targets]
    for name in remedy.shows:
        probe = evidence.probe("account", name)
        diff = probe.data.get("diff") if probe.ok else None
        before, after = (str((diff or {}).get(side) or "").splitlines() for side in ("before", "after"))
        # The first two lines of a unified diff name files, the others that begin with @@ name places.
        lines = list(difflib.unified_diff(before, after, lineterm="", n=max(len(before), len(after))))[2:]
        found += [line[:200] for line in lines if not line.startswith("@@")]
    return found if len(found) <= LIMIT else [*found[:LIMIT], f" … {len(found) - LIMIT} more lines"]


def _named(target: Mapping[str, Any]) -> str:
    """A rule of the firewall with its chain, a ban with its jail, a unit or process by its name."""
    if "text" in target:
        return f"{target['table']} {target['chain']}: {target['text']}"
    return f"{target['jail']}: {target['member']}" if "jail" in target else str(target["name"])


def interruption(evidence: Evidence, remedy: Remedy) -> Interruption | None:
    """What a remedy may interrupt on this server now; None: nothing. Without a process there is nothing left to it."""
    if remedy.interrupts is None:
        return None
    subset = remedy.starts.subset if remedy.starts else "asterisk"
    dead = evidence.probe(subset, "process").error == "missing"
    found: Interruption = {"seconds": remedy.interrupts.seconds}
    if "calls" in remedy.interrupts.what:
        found["calls"] = 0 if dead else _number(evidence, "calls", "calls")
    if "registrations" in remedy.interrupts.what:
        found["registrations"] = 0 if dead else _number(evidence, "contacts", "reachable")
    return found


def interruption_text(found: Interruption | None, remedy: Remedy) -> str:
    """The same as a sentence with a blank before it; "" where nothing is interrupted."""
    if found is None or remedy.interrupts is None:
        return ""
    touched = []
    for word, number in (("call", found.get("calls", 0)), ("registration", found.get("registrations", 0))):
        if number is None:
            touched.append(f"an unknown number of {word}s")
        elif number:
            touched.append(counted(number, word))
    return f" It may interrupt {' and '.join(touched)} for up to {remedy.interrupts.seconds} s." if touched else ""


def _number(evidence: Evidence, probe: str, field: str) -> int | None:
    """A figure of Asterisk's, None where it does not tell."""
    found = evidence.probe("asterisk", probe)
    number = found.data.get(field) if found.ok and isinstance(found.data, Mapping) else None
    return number if isinstance(number, int) else None

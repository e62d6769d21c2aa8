# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a connection may be silent, where that was measured, and whether the account's ever is for so long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..evidence import Evidence
from ..finding import Finding, Say, rule
from .client_settings import KEEP_ALIVE, connection_lost

#: How often a client speaks that keeps its connection alive, in seconds: what we render for it.
CLIENT_SECONDS = 30


@rule
def idle(evidence: Evidence) -> Iterator[Finding]:
    """Connections that were silent side by side, beside one that was kept alive."""
    if "idle" not in evidence.document:
        return
    found = evidence.idle
    if not found.ok:
        yield Say("path.idle", "network", "silence").unknown(
            f"How long a connection may be silent could not be measured ({found.why})."
        )
        return
    data = found.data
    kept, silent = data["kept"], data["silent"]
    say = Say("path.idle", "network", "silence", str(data.get("vantage") or ""), (("idle", data),))
    lost = [one["seconds"] for one in silent if one["ended"] == "lost"]
    closed = [one["seconds"] for one in silent if one["ended"] == "closed"]
    if kept["ended"] != "alive":
        within = f"{kept['ended']} within {kept['seconds']:g} s"
        yield say.fails(f"A connection was {within} although it was kept alive ({kept['message']}).")
    elif data["keep_alive_seconds"]:
        yield from _forgotten(evidence, say, min(lost), data["keep_alive_seconds"])
    elif closed:
        yield say.warns(f"The other side closes a connection that is silent for {min(closed):g} s.")
    elif len(lost) == len(silent):
        yield say.fails(f"A connection was lost as soon as it was silent for {min(lost):g} s.")
    elif lost:
        yield say.unknown(
            f"A connection was lost after {min(lost):g} s of silence, one that was silent longer was not."
        )
    else:
        yield say.passes(f"A connection may be silent for {max(one['seconds'] for one in silent):g} s.")


def _forgotten(evidence: Evidence, say: Say, lost: float, survived: int) -> Iterator[Finding]:
    text = f"Something on the way forgets a connection that is silent for {lost:g} s, not one of {survived} s."
    yield say.warns(text)
    differs = _server_asks(evidence)
    if differs is None:
        return
    say = Say("account.keep_alive", "account", "keep-alive", say.vantage, say.evidence)
    asks = f"The server's keep-alive of the account is {differs['found']}."
    reported = (evidence.client_report.get("settings") or {}).get("keep_alive")
    if reported is not False and survived >= CLIENT_SECONDS and not connection_lost(evidence):
        yield say.warns(f"{asks} Only the client's own keeps the connection alive.")
    else:
        yield say.fails(f"{text} {asks}", KEEP_ALIVE)


def _server_asks(evidence: Evidence) -> dict[str, Any] | None:
    """How the server's keep-alive of the account differs from what the way needs, None when it does not."""
    found = evidence.probe("account", "registry")
    findings = found.data.get("findings") or [] if found.ok else []
    return next((one for one in findings if one.get("cause") == KEEP_ALIVE), None)

# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the user or the device says (L2.4). Hostile text: it is compared and quoted, never executed."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence
from ..finding import Finding, Say, rule
from ..signatures import Signature, SignatureError, parse, signatures

#: Lines of a client log that are looked at, the last ones.
LINES = 20_000


@rule
def reported(evidence: Evidence) -> Iterator[Finding]:
    """The exact error message, and what the log's lines mean."""
    report = evidence.client_report
    if not report:
        return
    error = str(report.get("error_message") or "")
    lines = [error, *map(str, (report.get("log") or [])[-LINES:])]
    known = False
    own: tuple[Signature, ...] = ()
    try:
        own = tuple(parse(evidence.settings.get("client_signatures") or {}))
    except SignatureError as problem:
        yield Say("client.signatures", "client", "signatures").unknown(f"The site's own could not be used: {problem}.")
    for signature in (*own, *signatures()):
        line = next((line for line in reversed(lines) if signature.search(line)), None)
        if line is not None:
            known = True
            say = Say("client.log", "client", signature.name, evidence=(("client_report", line[:300]),))
            # A hint and never more: what a log says is no measurement.
            yield say.warns(f"The client says: {line[:200]!r}. {signature.meaning}", signature.cause)
    if not error:
        # The user did not write it down (L1.5): the last line that means something is it.
        every = (*own, *signatures())
        error = next((line.strip() for line in reversed(lines) if any(one.search(line) for one in every)), "")
    if error:
        say = Say("client.error", "client", "error message", evidence=(("client_report.error_message", error[:300]),))
        yield say.passes(f"The client's exact message is {error[:200]!r}.")
    if not known:
        yield Say("client.log", "client", "log").passes("The client's log holds nothing that is known.")

# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a remedy would change, line by line, for whoever has to say yes; its secrets were masked on the server."""

from __future__ import annotations

import difflib

from .evidence import Evidence

#: Which probes of the account tell what a remedy would change.
PROBES = {
    "fix_account": ("registry",),
    "render_configuration": ("documents",),
    "deliver_configuration": ("documents",),
}
#: So many lines are shown.
LIMIT = 60


def of(evidence: Evidence, remedy: str) -> list[str]:
    """The lines that would go (``-``), come (``+``) and stay, at most 60 of them."""
    found: list[str] = []
    for name in PROBES.get(remedy, ()):
        probe = evidence.probe("account", name)
        diff = probe.data.get("diff") if probe.ok else None
        before, after = (str((diff or {}).get(side) or "").splitlines() for side in ("before", "after"))
        # The first two lines of a unified diff name files, the others that begin with @@ name places.
        lines = list(difflib.unified_diff(before, after, lineterm="", n=max(len(before), len(after))))[2:]
        found += [line[:200] for line in lines if not line.startswith("@@")]
    return found if len(found) <= LIMIT else [*found[:LIMIT], f" … {len(found) - LIMIT} more lines"]

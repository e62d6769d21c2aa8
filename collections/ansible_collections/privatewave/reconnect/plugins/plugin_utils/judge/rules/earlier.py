# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What failed at the first look and not at the second."""

from __future__ import annotations

from collections.abc import Iterator

from ..evidence import Evidence
from ..finding import Finding, Say, rule


@rule
def earlier(evidence: Evidence) -> Iterator[Finding]:
    """A failure that did not come again is no cause, and worth a word: it may come again."""
    for number, one in enumerate(evidence.document.get("earlier") or []):
        say = Say(one["code"], one["subject"], one["about"], one["vantage"], ((f"earlier.{number}", one),))
        yield say.warns(f"The first look found: {one['summary']} The second did not find it.")

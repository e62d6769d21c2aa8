# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of another shape than documented: nobody knows what they would have said."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..evidence import Evidence
from ..finding import STEPS, Finding, Say, rule
from ..schemas import MISFIT


@rule
def shape(evidence: Evidence) -> Iterator[Finding]:
    """Probes that were replaced because they do not fit their schema."""
    for subset, probes in evidence.document.items():
        subject = subset if subset in STEPS else "network"
        for place, message in _misfits(probes, str(subset)):
            yield Say("evidence.shape", subject, place).unknown(f"{place} is unknown: {message}.")


def _misfits(node: Any, place: str) -> Iterator[tuple[str, str]]:
    if not isinstance(node, Mapping):
        return
    message = node.get("message")
    if node.get("ok") is False and node.get("error") == "invalid" and str(message).startswith(MISFIT):
        yield place, str(message)
        return
    for name, inner in node.items():
        if name != "data" or isinstance(inner, Mapping):
            yield from _misfits(inner, f"{place}.{name}")

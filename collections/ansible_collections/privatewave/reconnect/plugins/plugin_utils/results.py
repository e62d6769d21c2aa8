# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result of a run on one server (docs/reference/documents.md), and the names of the documents' schemas.

Every Ansible of the product loads this. So it does not load the documents of the evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypedDict

from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import (
    Carried,
    FindingDocument,
    Verdict,
)

EVIDENCE: Final = "reconnect/evidence/v1"
RESULT: Final = "reconnect/result/v1"
#: Why a server gave no evidence that means it could not be reached.
UNREACHABLE: Final = frozenset({"unreachable", "timed_out", "denied"})
UNFINISHED: Final = "The run ended before it came to its conclusion."


class Step(TypedDict):
    """A step of a run: when it began (RFC 3339, UTC), how it ended and how many seconds it took, null if unknown."""

    at: str
    step: str
    state: str
    seconds: float | None


class Result(TypedDict):
    """How a run ended on one server. ``verdict`` is null when it came to none; times are RFC 3339 in UTC.

    ``server_id`` says which server it is, however it is called; null when the run took no lease on it.
    """

    schema: Literal["reconnect/result/v1"]
    run_id: str
    state: str
    playbook: str
    mode: str
    server: str
    server_id: str | None
    account: str | None
    incident: str | None
    started_at: str
    finished_at: str
    error_message: str | None
    verdict: Verdict | None
    findings: list[FindingDocument]
    remedies: list[Carried]
    timeline: list[Step]


def state_of(
    reached: Mapping[str, Any], judgement: Mapping[str, Any], remedies: Iterable[Mapping[str, Any]]
) -> tuple[str, str | None]:
    """The state of a run on a server where no step failed, and the sentence that explains it.

    ``reached`` is the section ``server`` of the evidence. A judgement without a verdict is a run that did not finish.
    """
    if not reached.get("ok", True) and reached.get("error") in UNREACHABLE:
        return "unreachable", reached.get("message") or "The server could not be reached."
    if judgement.get("state") == "refused":
        return "refused", next((one.get("reason") for one in remedies if one.get("state") == "refused"), None)
    if not judgement.get("verdict"):
        return "failed", UNFINISHED
    return "succeeded", None

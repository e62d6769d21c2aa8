# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The judge as filters for playbooks; the pages of each are the files beside this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge, pairs
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import Level


def _judge(
    evidence: Mapping[str, Any],
    apply: bool = False,
    approvals: Sequence[str] = (),
    level: Level = "second",
    rotate: bool = False,
    ask: Sequence[str] = (),
    alone: str = "",
) -> Mapping[str, Any]:
    try:
        return judge.judge(
            judge.fitted(plain(evidence)), bool(apply), plain(approvals), level, bool(rotate), plain(ask), str(alone)
        )
    except judge.EvidenceError as error:
        raise AnsibleFilterError(f"{error}.") from None


def _conclude(
    first: Mapping[str, Any],
    after: Mapping[str, Any] | None = None,
    remedies: Sequence[Mapping[str, Any]] = (),
    level: Level = "second",
) -> Mapping[str, Any]:
    return judge.conclude(plain(first), plain(after) if after else None, plain(remedies), level)


def _triage(
    report: Mapping[str, Any] | None, attempts: Sequence[Mapping[str, Any]] = (), account: str = ""
) -> Mapping[str, Any]:
    return judge.triage(plain(report or {}), plain(attempts), str(account)) or {}


def _take_up(
    judgement: Mapping[str, Any],
    evidence: Mapping[str, Any],
    journal: Sequence[Mapping[str, Any]],
    run_id: str,
    level: Level = "second",
    remedies: Sequence[Mapping[str, Any]] = (),
) -> Mapping[str, Any]:
    seen = judge.Evidence(judge.fitted(plain(evidence)))
    return judge.take_up(plain(judgement), plain(journal), str(run_id), seen, level, plain(remedies))


def _alone(
    server: str,
    named: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    hostvars: Mapping[str, Mapping[str, Any]],
    play: Sequence[str] = (),
    serving: Sequence[str] = (),
) -> str:
    try:
        return pairs.alone(str(server), plain(named), groups, hostvars, play, plain(serving))
    except pairs.PairError as error:
        raise AnsibleFilterError(str(error)) from None


def _doubt(before: Mapping[str, Any], after: Mapping[str, Any], cause: str) -> str:
    return judge.doubt(plain(before), plain(after), str(cause))


class FilterModule:
    """The filters `judge`, `conclude`, `take_up`, `triage`, `doubt` and `alone`."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {
            "judge": _judge,
            "conclude": _conclude,
            "take_up": _take_up,
            "triage": _triage,
            "doubt": _doubt,
            "alone": _alone,
        }

# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of outcomes: what an invalid row is refused for."""

from __future__ import annotations

from typing import get_args

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.outcomes import (
    STATES,
    Outcome,
    endings,
    parse,
)
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.tables import TableError

ROW = "x: {headline: it ended, tone: good, exit_code: 0, incident: {do: comment}}"


def test_the_table_has_a_row_for_every_outcome_and_every_state() -> None:
    assert list(endings()) == [*get_args(Outcome), *STATES]


def test_what_the_levels_are_called() -> None:
    assert {name: row.escalate_to for name, row in endings().items() if row.escalate_to} == {
        "escalate_second_level": "second level",
        "escalate_third_level": "third level",
    }


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("tone: good", "tone: great", "x has the tone great"),
        ("do: comment", "do: shout", "x does shout"),
        ("do: comment", "do: close", "closed with a reason"),
        ("do: comment", "do: comment, reason: why", "closed with a reason"),
        ("do: comment", "do: move", "moved to one of"),
        ("do: comment", "do: comment, level: third_level", "moved to one of"),
        ("do: comment", "do: comment, colour: red", "colour"),
        (", exit_code: 0", "", "exit_code"),
        (ROW[3:], "7", "x has no fields"),
    ],
)
def test_an_invalid_row_is_refused(before: str, after: str, words: str) -> None:
    assert list(parse(ROW)) == ["x"]
    with pytest.raises(TableError, match=words):
        parse(ROW.replace(before, after))

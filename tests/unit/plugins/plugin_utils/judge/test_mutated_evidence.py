# SPDX-License-Identifier: GPL-3.0-or-later
"""Damaged evidence: whatever a server or a file makes of it, no faulty server becomes healthy and no rule crashes."""

from __future__ import annotations

import functools
import gzip
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import judge

CORPUS = Path(__file__).resolve().parents[4] / "evidence"
#: Evidence of servers that have a fault.
FAULTY = [file for file in sorted(CORPUS.glob("*.json.gz")) if not file.name.startswith("healthy.")]
#: How many mutations are tried, and in how many pieces; `make attack` tries 10,000.
MUTATIONS, PIECES = int(os.environ.get("RECONNECT_MUTATIONS", "300")), 10
#: One of each type of JSON, numbers that nobody can measure, and what is too deep.
OTHER: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 3.5, "", "x", "\u202e\ud800"),
    *([], [None], {}, {"ok": True}, {"ok": True, "seconds": 0, "data": []}),
    *(10**400, -(10**400), float("nan"), float("inf"), [[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]),
)


@functools.cache
def content(file: Path) -> bytes:
    return gzip.decompress(file.read_bytes())


def places(node: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where anything stands in a document."""
    for name, inner in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*before, name)
        if isinstance(inner, (dict, list)):
            yield from places(inner, (*before, name))


def mutated(seed: int) -> tuple[str, dict[str, Any]]:
    """Evidence of a fault with one place gone or of another type; the same seed gives the same."""
    chance = random.Random(seed)
    file = chance.choice(FAULTY)
    document = json.loads(content(file))
    place = chance.choice(list(places(document)))
    parent = functools.reduce(lambda node, name: node[name], place[:-1], document)
    was = parent[place[-1]]
    new = chance.choice([one for one in OTHER if type(one) is not type(was) or one in (float("inf"), 10**400)])
    if chance.random() < 0.3 and isinstance(parent, dict):
        del parent[place[-1]]
        return f"{file.name}: {'.'.join(map(str, place))} is gone", document
    parent[place[-1]] = new
    return f"{file.name}: {'.'.join(map(str, place))} is {str(new)[:30]}", document


@pytest.mark.attack("damaged evidence of a faulty server")
@pytest.mark.parametrize("piece", range(PIECES))
def test_no_mutation_makes_a_faulty_server_healthy_or_crashes_a_rule(piece: int) -> None:
    wrong = []
    for seed in range(piece, MUTATIONS, PIECES):
        what, document = mutated(seed)
        try:
            judgement = judge.judge(judge.fitted(document))
        except judge.EvidenceError:
            continue
        if judgement["verdict"]["outcome"] == "healthy":
            wrong.append(f"{seed} healthy: {what}")
        wrong += [f"{seed} {one['summary']} {what}" for one in judgement["findings"] if one["code"].endswith(".rule")]
    assert "\n".join(wrong) == ""

# SPDX-License-Identifier: GPL-3.0-or-later
"""Single rules are removed from a real packet filter and put back, in a network namespace of their own."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import iptables, nftables

COLLECTIONS = Path(__file__).parents[5] / "collections"
#: The names of namespaces are global: each process uses its own.
SPACE = f"rc{os.getpid()}-filter"
RULES = """
table inet filter {
  chain input {
    type filter hook input priority 0; policy accept;
    tcp dport 22 counter accept comment "SSH"
    tcp dport 5061 counter drop comment "maintenance"
    tcp dport 443 accept
  }
}
"""
#: The same, loaded again with another rule at its front: the number of the rule to be removed is now SSH's.
RELOADED = RULES.replace("tcp dport 22", "tcp dport 80 accept\n tcp dport 22")
MAINTENANCE = {
    "expr": [
        {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 5061}},
        {"counter": {"packets": 0, "bytes": 0}},
        {"drop": None},
    ],
    "comment": "maintenance",
}
WANTED = {"filter": "nft", "table": "inet filter", "chain": "input", "digest": nftables.digest(MAINTENANCE)}
CALL = """
import json, sys
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import single_rules
{before}
try:
    print(json.dumps(single_rules.{name}(json.load(sys.stdin))))
except single_rules.Changed as error:
    print(json.dumps(str(error)))
"""
#: Somebody loads the rule set again after it was read and before the removal.
RACE = """
import subprocess
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import single_rules as own
read = own._entries
def _entries():
    found = read()
    own._entries = read
    subprocess.run(["nft", "-f", "-"], input="flush ruleset" + {rules!r}, text=True, check=True)
    return found
own._entries = _entries
"""


def inside(*command: str, text: str = "") -> str:
    result = subprocess.run(
        ["ip", "netns", "exec", SPACE, *command],
        input=text,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(COLLECTIONS)},
    )
    return result.stdout


def call(name: str, rules: Any, before: str = "") -> Any:
    return json.loads(inside(sys.executable, "-c", CALL.format(name=name, before=before), text=json.dumps(rules)))


def chain() -> list[str]:
    return [line.strip() for line in inside("nft", "list", "chain", "inet", "filter", "input").splitlines()[3:-2]]


@pytest.fixture
def load() -> Iterator[Callable[[str], None]]:
    """Loads a rule set of nftables in the place of what is there."""
    if os.geteuid() or not (shutil.which("ip") and shutil.which("nft") and shutil.which("iptables")):
        pytest.skip("network namespaces need root, iproute2, nftables and iptables")
    subprocess.run(["ip", "netns", "add", SPACE], check=True, timeout=20)
    try:
        yield lambda rules: void(inside("nft", "-f", "-", text="flush ruleset" + rules))
    finally:
        subprocess.run(["ip", "netns", "del", SPACE], check=True, timeout=20)


def void(_output: str) -> None:
    """A fixture's function returns nothing."""


def test_what_a_rule_has_counted_is_not_its_content() -> None:
    counted: dict[str, Any] = {**MAINTENANCE, "handle": 9, "expr": copy.deepcopy(MAINTENANCE["expr"])}
    counted["expr"][1] = {"counter": {"packets": 7, "bytes": 420}}
    assert nftables.digest(counted) == WANTED["digest"]
    assert nftables.digest({**MAINTENANCE, "comment": "SSH"}) != WANTED["digest"]


def test_a_rule_is_removed_and_put_back_where_it_was(load: Callable[[str], None]) -> None:
    load(RULES)
    before = chain()
    (removed,) = call("remove", [WANTED])
    assert [line for line in before if "maintenance" not in line] == chain()
    # Somebody adds a rule meanwhile: it stays.
    inside("nft", "add", "rule", "inet", "filter", "input", "tcp", "dport", "8443", "accept")
    assert len(call("restore", [removed])) == 1
    assert chain() == [*before, "tcp dport 8443 accept"]
    assert call("restore", [removed]) == []


@pytest.mark.attack("the rule set is loaded again after it was judged, so that the number is another rule's")
def test_a_rule_set_that_was_loaded_again_loses_no_other_rule(load: Callable[[str], None]) -> None:
    load(RULES)
    load(RELOADED.replace('drop comment "maintenance"', 'drop comment "another"'))
    before = chain()
    assert "no longer what it was" in call("remove", [WANTED])
    assert chain() == before


@pytest.mark.attack("the rule set is loaded again between reading and removing a rule")
@pytest.mark.parametrize("again", [RELOADED, RULES.replace("5061", "5062")], ids=["other numbers", "the rule is gone"])
def test_a_change_between_reading_and_removing_is_seen(load: Callable[[str], None], again: str) -> None:
    load(RULES)
    answer = call("remove", [WANTED], RACE.format(rules=again))
    expected = [line for line in again.splitlines() if line.strip().startswith("tcp") and "5061" not in line]
    assert len(chain()) == len(expected)
    assert 'tcp dport 22 counter packets 0 bytes 0 accept comment "SSH"' in chain()
    assert ("no longer what it was" in answer) is ("5061" not in again)


def test_rules_of_ingress_and_of_prerouting_are_removed_as_well(load: Callable[[str], None]) -> None:
    early = "table netdev early { chain in { type filter hook ingress device lo priority 0; tcp dport 5061 drop\n}\n}"
    raw = "table ip raw { chain pre { type filter hook prerouting priority -300; tcp dport 5061 drop\n}\n}\n"
    load(f"\n{early}\n{raw}")
    plain = {"expr": [MAINTENANCE["expr"][0], {"drop": None}]}
    places = [("netdev early", "in"), ("ip raw", "pre")]
    wanted = [{"filter": "nft", "table": t, "chain": c, "digest": nftables.digest(plain)} for t, c in places]
    removed = call("remove", wanted)
    assert "drop" not in inside("nft", "list", "ruleset")
    call("restore", removed)
    assert inside("nft", "list", "ruleset").count("tcp dport 5061 drop") == 2


def test_a_rule_of_iptables_is_removed_by_its_content_and_put_back(load: Callable[[str], None]) -> None:
    load("")
    for rule in (
        "-p tcp --dport 22 -j ACCEPT",
        "-p tcp --dport 5061 -m comment --comment 'a b' -j DROP",
        "-i lo -j ACCEPT",
    ):
        inside("sh", "-c", f"iptables -A INPUT {rule}")
    before = inside("iptables", "-S", "INPUT")
    line = next(line for line in inside("iptables-save", "-t", "filter").splitlines() if "5061" in line)
    wanted = {"filter": "iptables", "table": "ip filter", "chain": "INPUT", "digest": iptables.digest(line)}
    (removed,) = call("remove", [wanted])
    assert inside("iptables", "-S", "INPUT") == "".join(x for x in before.splitlines(True) if "5061" not in x)
    assert "no longer what it was" in call("remove", [wanted])
    assert len(call("restore", [removed])) == 1
    assert inside("iptables", "-S", "INPUT") == before
    assert call("restore", [removed]) == []

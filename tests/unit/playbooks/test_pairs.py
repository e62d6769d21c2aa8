# SPDX-License-Identifier: GPL-3.0-or-later
"""A node is interrupted without an approval only while a partner serves, in real runs of ansible-playbook."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from .conftest import ROOT, Played

PLAYBOOKS = ROOT / "collections/ansible_collections/privatewave/reconnect/playbooks"
HUNG, HEALTHY, STOPPED = ("asterisk_hung.pbx22", "healthy.pbx22", "asterisk_stopped.pbx22")
NOBODY = "No partner of this server is known to serve:"


def planned(
    played: Played, folder: Path, servers: dict[str, str], limit: str = "all", **variables: Any
) -> dict[str, list[str]]:
    """What the playbook decides of the remedies of each server, from the evidence that it would gather."""
    [play] = yaml.safe_load((PLAYBOOKS / "diagnose_server.yml").read_text())
    gather = next(task for task in play["tasks"] if task["name"] == "Gather evidence")
    options = gather["privatewave.reconnect.gather"]["judge"]
    # By the action alone.
    del options["fix_groups"]
    judge = ", ".join(f"{name}={value.strip('{} ')}" for name, value in options.items())
    evidence = f"(lookup('file', '{folder}/' ~ inventory_hostname ~ '.json') | from_json)"
    gathered = {
        "evidence": f"{{{{ {evidence} }}}}",
        "judgement": f"{{{{ {evidence} | privatewave.reconnect.judge({judge}) }}}}",
        "ask": options["ask"],
    }
    go_on = [one for one in yaml.safe_load((PLAYBOOKS / "tasks/go_on.yml").read_text()) if "Judge" in one["name"]]
    plan = "reconnect_judgement.verdict.plan | map(attribute='decision') | list + "
    plan += "reconnect_judgement.verdict.plan | map(attribute='reason') | list"
    play["tasks"] = [
        {"name": "Begin", "ansible.builtin.import_tasks": str(PLAYBOOKS / "tasks/begin.yml")},
        {"name": "Gather", "ansible.builtin.set_fact": {"reconnect_gathered": gathered}},
        *go_on,
        {"name": "Show", "ansible.builtin.debug": {"msg": f"SHOWN {{{{ [[inventory_hostname], {plan}] | to_json }}}}"}},
    ]
    for server, name in servers.items():
        content = gzip.decompress((ROOT / "tests/evidence" / f"{name}.json.gz").read_bytes())
        (folder / f"{server}.json").write_bytes(content)
    hosts = {name: {"ansible_connection": "local"} for name in servers}
    groups = {"servers": {"hosts": hosts}, "pair_a": {"hosts": dict.fromkeys(servers)}}
    given = json.dumps({"reconnect_apply": True, "reconnect_pairs": ["pair_a"], **variables})
    lines = [line for line in played(play, groups, "-l", limit, "-e", given).splitlines() if "SHOWN " in line]
    shown = [json.loads(json.loads("{" + line.strip() + "}")["msg"].removeprefix("SHOWN ")) for line in lines]
    return {name: said for [name], said in shown}


def test_a_node_is_interrupted_while_its_partner_serves(played: Played, tmp_path: Path) -> None:
    found = planned(played, tmp_path, {"pbx1": HUNG, "pbx2": HEALTHY})
    assert found["pbx1"][0] == "run"
    assert found["pbx2"] == []


@pytest.mark.parametrize(
    ("servers", "given", "decision", "why"),
    [
        ({"pbx1": HUNG, "pbx2": HUNG}, {}, "approval", f"{NOBODY} pbx2 takes no registration. It waits for --approve"),
        ({"pbx1": HUNG, "pbx2": HEALTHY}, {"limit": "pbx1"}, "approval", f"{NOBODY} nothing is known of pbx2."),
        ({"pbx1": HUNG, "pbx2": HEALTHY}, {"limit": "pbx1", "reconnect_serving": ["pbx2"]}, "run", ""),
        ({"pbx1": HUNG, "pbx2": HUNG}, {"reconnect_approvals": ["restart_asterisk"]}, "run", "It was approved."),
        ({"pbx1": HUNG, "pbx2": HUNG}, {"reconnect_pairs": []}, "run", ""),
        # Nothing is left to interrupt.
        ({"pbx1": STOPPED, "pbx2": STOPPED}, {}, "run", ""),
    ],
)
def test_without_a_partner_that_serves_a_person_approves_it(
    played: Played, tmp_path: Path, servers: dict[str, str], given: dict[str, Any], decision: str, why: str
) -> None:
    found = planned(played, tmp_path, servers, **given)["pbx1"]
    assert (found[0], found[1].startswith(why)) == (decision, True), found

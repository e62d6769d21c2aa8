"""The playbook alone, without the wrapper, on the newest Python and ansible-core that this machine has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from trials.tools import ROOT, Lab, call

PLAYBOOK = ROOT / ".venv-newest" / "bin" / "ansible-playbook"


@pytest.mark.skipif(not PLAYBOOK.exists(), reason="there is no newer Python here: make newest")
def test_the_newest_ansible_gives_the_same_verdict(lab: Lab, tmp_path: Path) -> None:
    lab("reset")
    ended = call(
        PLAYBOOK,
        "playbooks/diagnose-server.yml",
        "-i",
        "inventories/lab",
        env={"RECONNECT_RESULT_DIR": str(tmp_path), "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "NO_COLOR": "1"},
    )
    assert ended.code == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    for server in ("pbx22", "pbx16"):
        result = json.loads((tmp_path / f"{server}.json").read_text())
        assert (result["state"], result["verdict"]["outcome"]) == ("succeeded", "healthy")
        assert "healthy" in ended.stdout

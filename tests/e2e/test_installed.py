"""What is installed elsewhere works without the repository: the collection, and the wheel."""

from __future__ import annotations

import json
import sys
import sysconfig
from pathlib import Path

import pytest
from trials.tools import INVENTORY, ROOT, Lab, call, surroundings

BIN = ROOT / ".venv" / "bin"
PLAYBOOK = """
- name: Diagnose from a playbook of the site
  ansible.builtin.import_playbook: privatewave.reconnect.diagnose_server
"""


def succeed(*command: str | Path, folder: Path, **environment: str) -> str:
    """The output of a command that ends with 0, and gets nothing from the repository."""
    ended = call(*command, folder=folder, env={"PYTHONPATH": "", "ANSIBLE_CONFIG": "", **environment})
    assert ended.code == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
    return ended.stdout


@pytest.mark.parametrize("server", ["pbx22"])
def test_the_collection_stands_alone(lab: Lab, tmp_path: Path, server: str) -> None:
    lab("reset", server)
    site = tmp_path / "site"
    site.mkdir()
    (site / "diagnose.yml").write_text(PLAYBOOK)
    galaxy, collection = BIN / "ansible-galaxy", ROOT / "collections" / "ansible_collections/privatewave/reconnect"
    succeed(galaxy, "collection", "build", collection, "--output-path", tmp_path, folder=site)
    (archive,) = tmp_path.glob("*.tar.gz")
    succeed(galaxy, "collection", "install", archive, "--collections-path", "collections", folder=site)
    printed = succeed(
        BIN / "ansible-playbook",
        "diagnose.yml",
        f"--inventory={ROOT / INVENTORY}",
        f"--limit={server}",
        "--extra-vars=reconnect_fail_on_fault=true",
        folder=site,
        ANSIBLE_COLLECTIONS_PATH="collections",
        ANSIBLE_SHOW_CUSTOM_STATS="1",
        ANSIBLE_NOCOLOR="1",
    )
    told = json.loads(printed[printed.index("RUN: ") + 5 :])["reconnect"]["servers"][server]
    assert (told["outcome"], told["exit_code"], told["causes"]) == ("healthy", 0, [])


@pytest.mark.parametrize("server", ["pbx22"])
def test_the_wheel_stands_alone(lab: Lab, tmp_path: Path, server: str) -> None:
    lab("reset", server)
    succeed(ROOT / "tests" / "setup" / "wheel", tmp_path, folder=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    succeed(sys.executable, "-m", "venv", "--without-pip", "environment", folder=tmp_path)
    # The packages that it needs are those of this environment, which are pinned; the command is the wheel's.
    here = sysconfig.get_path("purelib")
    (packages,) = (tmp_path / "environment" / "lib").glob("python*/site-packages")
    (packages / "needed.pth").write_text(f"{here}\n")
    pip: list[str | Path] = [
        BIN / "pip",
        "--python",
        tmp_path / "environment",
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
        wheel,
    ]
    succeed(*pip, folder=tmp_path)
    reconnect = tmp_path / "environment" / "bin" / "reconnect"
    own = {**surroundings(tmp_path), "RECONNECT_INVENTORY": str(ROOT / INVENTORY), "HOME": str(tmp_path)}
    path = f"{BIN}:/usr/bin:/bin"
    assert "database_stopped" in succeed(reconnect, "causes", folder=tmp_path, **own)
    assert "no mistakes" in succeed(reconnect, "accounts", "validate", folder=tmp_path, PATH=path, **own)
    result = json.loads(succeed(reconnect, "diagnose-server", server, "--json", folder=tmp_path, PATH=path, **own))
    assert (result["state"], result["verdict"]["outcome"]) == ("succeeded", "healthy")

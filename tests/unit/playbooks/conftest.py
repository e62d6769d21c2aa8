# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of playbooks share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[3]

Played = Callable[..., str]


@pytest.fixture
def played(tmp_path: Path) -> Played:
    """Has ansible-playbook run a play on groups of an inventory, with further words; what it printed, which has
    `SHOWN`."""

    def run(play: dict[str, Any], groups: dict[str, Any], *words: str) -> str:
        for name, content in (("play.yml", [play]), ("hosts.yml", groups)):
            (tmp_path / name).write_text(yaml.safe_dump(content, sort_keys=False))
        program = Path(sys.executable).with_name("ansible-playbook")
        ended = subprocess.run(
            [program, "-i", tmp_path / "hosts.yml", *words, tmp_path / "play.yml"],
            cwd=ROOT,
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "default"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "SHOWN " in ended.stdout, ended.stdout + ended.stderr
        return ended.stdout

    return run

# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module in the background leaves where its run is cancelled: nothing."""

from __future__ import annotations

import inspect
import json
import os
import select
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible.modules import async_wrapper
from ansible_collections.privatewave.reconnect.plugins.module_utils._lease.processes import end_processes, processes_of

ROOT = Path(__file__).resolve().parents[4]
NAME = "ansible_collections/privatewave/reconnect/plugins/module_utils/_background.py"
RUN = "20260101T000000-background"
MODULE = """#!{python}
import signal, sys
from pathlib import Path
sys.path.insert(0, {packed!r})
from ansible_collections.privatewave.reconnect.plugins.module_utils._background import remove_job_when_cancelled
remove_job_when_cancelled()
Path({ready!r}).write_text("ready")
signal.pause()
"""


def as_ansible_calls(module: str) -> list[str]:
    """The words after the limit: those of this ansible-core."""
    passed = inspect.signature(async_wrapper._run_module).parameters
    return ["False", module, sys.executable, module] if "module_args" in passed else [module, "_"]


@pytest.mark.parametrize("notes", [None, "elsewhere"])
def test_a_module_that_is_cancelled_leaves_nothing(tmp_path: Path, notes: str | None) -> None:
    home, ready = tmp_path / "home", tmp_path / "ready"
    folder = home / ".ansible" / "tmp" / "ansible-tmp-1.2-3"
    folder.mkdir(parents=True)
    os.mkfifo(ready)
    module, wrapper = folder / "AnsiballZ_watch.py", folder / "async_wrapper.py"
    payload = tmp_path / "ansible_watch_payload_abc"
    payload.mkdir()
    packed = payload / "ansible_watch_payload.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in (path for path in Path(NAME).parents if path.name):
            archive.writestr(f"{name}/__init__.py", "")
        archive.write(ROOT / "collections" / NAME, NAME)
    module.write_text(MODULE.format(python=sys.executable, ready=str(ready), packed=str(packed)))
    wrapper.write_bytes(Path(str(async_wrapper.__file__)).read_bytes())
    kept = home / (notes or ".ansible_async")
    kept.mkdir()
    (kept / "j12.34").write_text("another job")
    environment = {"HOME": str(home), "RECONNECT_RUN_ID": RUN}
    environment |= {"ANSIBLE_ASYNC_DIR": str(kept)} if notes else {}
    words = [sys.executable, str(wrapper), "j123", "600", *as_ansible_calls(str(module))]
    reading = os.open(ready, os.O_RDONLY | os.O_NONBLOCK)
    said = subprocess.run(words, env={**os.environ, **environment}, check=True, stdout=subprocess.PIPE, timeout=120)
    assert json.loads(said.stdout)["ansible_job_id"].startswith("j123.")
    assert select.select([reading], [], [], 60)[0], [path.read_text() for path in kept.iterdir()]
    os.close(reading)
    assert len(list(kept.iterdir())) == 2
    end_processes(RUN, limit=60.0)
    assert processes_of(RUN) == []
    assert [path.name for path in kept.iterdir()] == ["j12.34"]
    assert (folder.exists(), payload.exists()) == (False, False)

# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs on a managed host loads on every Python that this machine has, from the oldest supported one on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect" / "plugins"
#: What takes Ansible's own code cannot be imported without it: it is compiled, as on a server.
LOAD = """
import importlib, pathlib, sys
sys.dont_write_bytecode = True
root, plugins = map(pathlib.Path, sys.argv[1:])
sys.path.insert(0, str(root / "collections"))
package = "ansible_collections.privatewave.reconnect.plugins.module_utils."
folder = plugins / "module_utils"
files = list(folder.rglob("*.py"))
taking = [file for file in files if "\\nfrom ansible." in file.read_text("utf-8")]
names = [".".join(file.relative_to(folder).with_suffix("").parts) for file in files if file not in taking]
loaded = [importlib.import_module(package + name) for name in names]
taking += (plugins / "modules").glob("*.py")
compiled = [compile(file.read_text("utf-8"), str(file), "exec") for file in taking]
print(len(loaded), len(compiled))
"""


def python(minor: int) -> str | None:
    """An interpreter of Python 3.`minor`, or None."""
    if minor == sys.version_info[1]:
        return sys.executable
    own = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
    return str(own[-1]) if own else shutil.which(f"python3.{minor}")


@pytest.mark.parametrize("minor", range(8, 15))
def test_what_runs_on_a_server_loads(minor: int) -> None:
    interpreter = python(minor)
    if interpreter is None:
        pytest.skip(f"no Python 3.{minor} here")
    ended = subprocess.run(
        [interpreter, "-c", LOAD, str(ROOT), str(PLUGINS)], capture_output=True, text=True, timeout=60, check=False
    )
    if "command not found" in ended.stderr:  # a shim of a Python that is not installed
        pytest.skip(f"no Python 3.{minor} here")
    assert ended.stderr == ""
    loaded, compiled = map(int, ended.stdout.split())
    # The client of the service, which runs where the modules of the service run, is compiled as they are.
    assert loaded == len(list((PLUGINS / "module_utils").rglob("*.py"))) - 1
    assert compiled == len(list((PLUGINS / "modules").glob("*.py"))) + 1

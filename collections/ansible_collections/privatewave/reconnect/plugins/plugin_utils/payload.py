# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A function of our module_utils as one small script for a host's Python.

An ordinary module brings Ansible's own utilities along; building that and importing it there costs more than the
questions themselves. What we ask with is standard library only, so it can be sent as it is.
"""

from __future__ import annotations

import base64
import functools
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PACKAGE = "ansible_collections.privatewave.reconnect.plugins.module_utils"
FOLDER = Path(__file__).parents[1] / "module_utils"

# Runs on a host with Python 3.8 or newer. Modules are compiled as they are imported, from the sources it carries.
_SCRIPT = """\
import base64, importlib, importlib.util, json, sys, zlib

PACKAGE = {package!r}
sources = json.loads(zlib.decompress(base64.b85decode({sources!r})))


class Carried:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if (PACKAGE + ".").startswith(name + "."):
            return importlib.util.spec_from_loader(name, Carried, is_package=True)
        if name.rpartition(".")[0] == PACKAGE and name.rpartition(".")[2] in sources:
            return importlib.util.spec_from_loader(name, Carried)

    @staticmethod
    def create_module(spec):
        return None

    @staticmethod
    def exec_module(module):
        name = module.__name__.rpartition(".")[2]
        if name in sources:
            exec(compile(sources[name], name + ".py", "exec"), module.__dict__)


# Nothing that happens to lie in the current folder is imported.
sys.path[:] = [folder for folder in sys.path if folder]
sys.meta_path.insert(0, Carried)
try:
    answer = importlib.import_module(PACKAGE + {module!r}).answer(**json.loads({arguments!r}))
except Exception as error:
    answer = dict(failed=True, msg="%s: %s" % (type(error).__name__, error))
print(json.dumps(dict(answer, changed=False)))
"""


def script(module: str, arguments: Mapping[str, Any]) -> bytes:
    """A script that calls ``answer(**arguments)`` of a module of module_utils and prints its dict as JSON."""
    return _SCRIPT.format(
        package=PACKAGE, sources=_sources(), module="." + module, arguments=json.dumps(arguments)
    ).encode("ascii")


@functools.cache
def _sources() -> str:
    sources = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("_*.py"))}
    return base64.b85encode(zlib.compress(json.dumps(sources).encode("ascii"))).decode("ascii")

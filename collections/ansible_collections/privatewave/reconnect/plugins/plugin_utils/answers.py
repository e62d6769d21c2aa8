# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of managed hosts: hostile until they are plain data of the shape that the module documents."""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ERRORS, failed

if TYPE_CHECKING:
    from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import Probe

#: Bytes of an answer, as JSON.
ANSWER_LIMIT = 4 * 1024 * 1024
MODULES = Path(__file__).parents[1] / "modules"

_TYPES: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "dict": (dict,),
    "float": (int, float),
    "int": (int,),
    "list": (list,),
    "str": (str,),
}
#: What every module may say, and what Ansible says of one that goes on in the background.
_ALWAYS: dict[str, tuple[type, ...]] = {"changed": (bool,), "failed": (bool,), "msg": (str,)}
_JOB: dict[str, tuple[type, ...]] = {
    "ansible_job_id": (str,),
    "finished": (bool, int),
    "results_file": (str,),
    "started": (bool, int),
}


def plain(value: Any) -> Any:
    """A copy of plain dicts, lists, strings and numbers: nothing lazy, nothing tagged, nothing ever templated again."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        # `1e999` and `NaN` are no numbers that a rule could compare.
        return float(value) if math.isfinite(value) else None
    if isinstance(value, int):
        return int(value)
    # Nobody can write half a surrogate pair, and an escape of a stranger may hold one.
    return str(value).encode("utf-8", "replace").decode("utf-8")


@functools.cache
def documented(module: str) -> dict[str, tuple[type, ...]]:
    """The names that a module of ours returns, and the types that each may have, from its ``RETURN`` documentation.

    ``module`` is its full name, for example ``privatewave.reconnect.gather``.
    """
    source = (MODULES / f"{module.rpartition('.')[2]}.py").read_text(encoding="utf-8")
    (text,) = (
        ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "RETURN"
    )
    return {name: _TYPES[entry["type"]] for name, entry in yaml.safe_load(text).items()}


def answer_of(module: str, answer: Any, status: bool = True, job: bool = False) -> dict[str, Any]:
    """What a module of ours answered: plain, only what it documents, and each value of its documented type or None.

    So nothing is left that Ansible would act on, such as ``ansible_facts``. Without ``status`` how it ended is left
    out, too: releases of ansible-core differ in what they add of it. ``job`` says that the module goes on in the
    background, and that Ansible answers with the job.
    """
    known = {**documented(module), **(_ALWAYS if status else {}), **(_JOB if job else {})}
    return {
        name: value
        for name, value in plain(answer).items()
        if name in known and (value is None or isinstance(value, known[name]))
    }


def is_probe(value: object) -> bool:
    """Whether a value has the shape of a probe."""
    if not isinstance(value, dict) or not isinstance(value.get("seconds"), (int, float)):
        return False
    if value.get("ok") is True:
        return "data" in value
    return value.get("ok") is False and value.get("error") in ERRORS and isinstance(value.get("message"), str)


def probe_of(value: Any) -> Probe[Any]:
    """A probe out of a module's answer; where there is none, one that says so."""
    found: Probe[Any] = value if is_probe(value) else failed("invalid", "the module answered with something else")
    return found


def inner(answer: Probe[Probe[Any]]) -> Probe[Any]:
    """Of a module that was asked and answers with a probe: that probe, or why the module gave none."""
    return answer["data"] if answer["ok"] else answer


def probes_of(value: Any) -> dict[str, Probe[Any]]:
    """The probes by name out of a module's answer. Everything else is dropped."""
    return {name: one for name, one in value.items() if is_probe(one)} if isinstance(value, dict) else {}

# SPDX-License-Identifier: GPL-3.0-or-later
"""The job templates of AWX with their surveys, from the declarations of options."""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Any

import yaml
from reconnect.engine.undoing import table
from reconnect.runs.request import DIAGNOSE, FIX, Asked, Declared, Playbook

from reference.arguments import Dumper

FILE = Path(__file__).resolve().parents[3] / "packaging" / "awx" / "job_templates.yml"
#: What a survey never asks for: a file of the control node, and what each template says itself.
LEFT_OUT = {"reconnect_client_report_file", "reconnect_apply"}
#: The longest text of an answer; names are checked by the playbook.
MOST_TEXT = 80
TEMPLATES: tuple[tuple[str, str, Playbook, bool], ...] = (
    ("Diagnose a server", "Find out why people cannot register with a server. Nothing changes.", DIAGNOSE, False),
    ("Fix a server", "Find out why people cannot register with a server, and fix it.", DIAGNOSE, True),
    ("Check an account", "First level: find out why an account cannot connect. Nothing changes.", FIX, False),
    ("Fix an account", "First level: find out why an account cannot connect, and fix it.", FIX, True),
)


def texts() -> dict[Path, str]:
    """The variables of ``install.yml``."""
    found = [_template(*one) for one in TEMPLATES]
    said = yaml.dump({"reconnect_job_templates": found}, Dumper=Dumper, sort_keys=False, width=140)
    return {FILE: f"---\n# Made by `make docs` of the options of the command.\n{said}"}


def _template(name: str, description: str, playbook: Playbook, apply: bool) -> dict[str, Any]:
    wanted = [one for one in Asked.options(playbook) if one.option.variable and one.option.variable not in LEFT_OUT]
    # What is allowed matters only where something is changed.
    wanted = [one for one in wanted if apply or one.name not in {"approvals", "rotate_password"}]
    return {
        "name": f"Reconnect: {name}",
        "description": description,
        "playbook": f"playbooks/{playbook}",
        "extra_vars": {"reconnect_apply": apply, "reconnect_fail_on_fault": True},
        "survey_spec": {"name": name, "description": description, "spec": [_question(one) for one in wanted]},
    }


def _question(one: Declared) -> dict[str, Any]:
    """A question of a survey, with the type and the limits of the option."""
    kinds = [kind for kind in typing.get_args(one.type) or (one.type,) if kind is not types.NoneType]
    asked: dict[str, Any] = {
        "question_name": one.name.replace("_", " ").capitalize(),
        "question_description": one.option.help,
        "variable": one.option.variable,
        "required": one.option.positional,
    }
    if typing.get_origin(one.type) is list:
        return asked | {"type": "multiselect", "choices": sorted(table()), "default": ""}
    if bool in kinds:
        default = "true" if one.default else "false"
        return asked | {"type": "multiplechoice", "choices": ["false", "true"], "default": default}
    if int in kinds:
        default = "" if one.default is None else one.default
        return asked | {"type": "integer", "min": one.least, "max": one.most, "default": default}
    return asked | {"type": "text", "min": 0, "max": MOST_TEXT, "default": ""}

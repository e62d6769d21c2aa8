# SPDX-License-Identifier: GPL-3.0-or-later
"""The job templates of AWX ask for what the one request takes, and for nothing else."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from reconnect.engine import undoing
from reconnect.runs.request import DIAGNOSE, FIX, Asked

FOLDER = Path(__file__).parents[3] / "packaging" / "awx"
TEMPLATES = yaml.safe_load((FOLDER / "job_templates.yml").read_text(encoding="utf-8"))["reconnect_job_templates"]
#: What AWX takes at job_templates/N/survey_spec, as its API documents it.
TEXT = {"type": "string"}
SURVEY = {
    "type": "object",
    "required": ["name", "description", "spec"],
    "properties": {
        "name": TEXT,
        "description": TEXT,
        "spec": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["question_name", "question_description", "variable", "type", "required", "default"],
                "additionalProperties": False,
                "properties": {
                    "question_name": {"type": "string", "minLength": 1},
                    "question_description": {"type": "string", "minLength": 1},
                    "variable": {"type": "string", "pattern": "^[a-z_]+$"},
                    "required": {"type": "boolean"},
                    "type": {"enum": ["text", "integer", "multiplechoice", "multiselect"]},
                    "min": {"type": "integer"},
                    "max": {"type": "integer"},
                    "choices": {"type": "array", "items": TEXT, "minItems": 2, "uniqueItems": True},
                    "default": {"type": ["string", "integer"]},
                },
                "oneOf": [
                    {"properties": {"type": {"enum": ["text", "integer"]}}, "required": ["min", "max"]},
                    {"properties": {"type": {"enum": ["multiplechoice", "multiselect"]}}, "required": ["choices"]},
                ],
            },
        },
    },
}
#: Options of awx.awx.job_template, version 24.6.
OPTIONS = {
    *("name", "description", "job_type", "organization", "project", "inventory", "credentials", "playbook", "limit"),
    *("execution_environment", "extra_vars", "ask_limit_on_launch", "ask_variables_on_launch"),
    *("survey_enabled", "survey_spec"),
}


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template["name"])
def test_a_survey_asks_for_options_with_their_types_and_limits(template: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SURVEY).validate(template["survey_spec"])
    playbook = Path(template["playbook"]).name
    assert playbook in {DIAGNOSE, FIX}
    assert (FOLDER.parents[1] / template["playbook"]).is_file()
    options = {one.option.variable: one for one in Asked.options(playbook)}
    for asked in template["survey_spec"]["spec"]:
        one = options[asked["variable"]]
        kinds = {str(kind) for kind in typing.get_args(one.type) or [one.type]}
        if asked["type"] == "integer":
            assert (asked["min"], asked["max"]) == (one.least, one.most)
            assert str(int) in kinds
            assert asked["default"] == "" or one.least <= asked["default"] <= one.most
        elif asked["type"] == "multiplechoice":
            assert (str(bool) in kinds, asked["choices"], asked["default"]) == (True, ["false", "true"], "false")
        elif asked["type"] == "multiselect":
            assert (typing.get_origin(one.type), set(asked["choices"])) == (list, set(undoing.table()))
        else:
            assert str(str) in kinds
        assert asked["question_description"] == one.option.help


@pytest.mark.attack("whoever may launch a job names a file or a command of the execution environment", harm="execution")
def test_a_job_takes_no_other_variable() -> None:
    [play] = yaml.safe_load((FOLDER / "install.yml").read_text(encoding="utf-8"))
    [task] = play["tasks"]
    module = task["awx.awx.job_template"]
    assert set(module) <= OPTIONS
    assert (module["ask_variables_on_launch"], module["ask_limit_on_launch"]) == (False, True)
    asked = {one["variable"] for template in TEMPLATES for one in template["survey_spec"]["spec"]}
    assert [name for name in asked if "file" in name or "url" in name or "command" in name] == []
    assert "reconnect_apply" not in asked
    assert "reconnect_account" in asked


def test_only_what_says_fix_changes_something() -> None:
    said = {template["name"]: template["extra_vars"]["reconnect_apply"] for template in TEMPLATES}
    assert [name for name, apply in said.items() if apply] == ["Reconnect: Fix a server", "Reconnect: Fix an account"]
    allows = {"reconnect_approvals", "reconnect_rotate_password"}
    for template in TEMPLATES:
        asked = {one["variable"] for one in template["survey_spec"]["spec"]}
        assert bool(asked & allows) is template["extra_vars"]["reconnect_apply"]

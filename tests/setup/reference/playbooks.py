# SPDX-License-Identifier: GPL-3.0-or-later
"""The comments of the playbooks that name the variables of a run, from the declarations of options."""

from __future__ import annotations

import re
from pathlib import Path

from reconnect.runs.request import DIAGNOSE, FIX, RUN_VARIABLES, Asked, Playbook

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect" / "playbooks"

_COMMENT = re.compile(r"(?m)^# Variables of a run.*\n(?:#   reconnect_.*\n)+")


def texts() -> dict[Path, str]:
    """The playbooks, with their comments made again."""
    files = {FOLDER / playbook.replace("-", "_"): playbook for playbook in (DIAGNOSE, FIX)}
    return {file: with_comment(file.read_text(encoding="utf-8"), playbook) for file, playbook in files.items()}


def comment(playbook: Playbook) -> str:
    """The variables that a playbook takes, as comments in YAML; those of second level's playbook stand there alone."""
    variables = {one.option.variable: one for one in Asked.options(playbook) if one.option.variable}
    if playbook == FIX:
        known = {one.option.variable for one in Asked.options(DIAGNOSE)}
        said = {name: one for name, one in variables.items() if name not in known or one.option.positional}
        head, more = "# Variables of a run, in addition to those of diagnose_server:", dict[str, str]()
    else:
        said, head, more = variables, "# Variables of a run:", RUN_VARIABLES
    lines = [head, *(f"#   {name:<30} {one.option.help}" for name, one in said.items())]
    return "\n".join([*lines, *(f"#   {name:<30} {sentence}" for name, sentence in more.items())]) + "\n"


def with_comment(text: str, playbook: Playbook) -> str:
    """A playbook's ``text`` with the comment of its variables made again."""
    return _COMMENT.sub(lambda _: comment(playbook), text)

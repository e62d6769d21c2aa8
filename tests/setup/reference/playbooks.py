# SPDX-License-Identifier: GPL-3.0-or-later
"""What names the variables of a run in the playbooks, from the declarations of options: their comments, and the list of
those that are compared from server to server."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from reconnect.runs.request import DIAGNOSE, FIX, RUN_VARIABLES, Asked, Playbook

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect" / "playbooks"

BEGIN = FOLDER / "tasks" / "begin.yml"
_COMMENT = re.compile(r"(?m)^# Variables of a run.*\n(?:#   reconnect_.*\n)+")
_COMPARED = re.compile(r"(?<=reconnect_variables: )\[[^\]]*\]")


def texts() -> dict[Path, str]:
    """The playbooks with their comments, and the list of variables, made again."""
    files = {FOLDER / playbook.replace("-", "_"): playbook for playbook in (DIAGNOSE, FIX)}
    found = {file: with_comment(file.read_text(encoding="utf-8"), playbook) for file, playbook in files.items()}
    return found | {BEGIN: _COMPARED.sub(lambda _: compared(), BEGIN.read_text(encoding="utf-8"))}


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


def compared() -> str:
    """Every variable of a run, as a list in YAML."""
    declared = (one.option.variable for playbook in (DIAGNOSE, FIX) for one in Asked.options(playbook))
    said = ", ".join(dict.fromkeys(name for name in (*declared, *RUN_VARIABLES) if name))
    return f"[\n{textwrap.indent(textwrap.fill(said, 110), ' ' * 6)}]"


def with_comment(text: str, playbook: Playbook) -> str:
    """A playbook's ``text`` with the comment of its variables made again."""
    return _COMMENT.sub(lambda _: comment(playbook), text)

# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of roles and the README of each, from their argument specifications."""

from __future__ import annotations

from pathlib import Path

import yaml

from reference.arguments import ROLES, specifications
from reference.plugins import option
from reference.text import items, markup, page, prose


def pages() -> dict[str, str]:
    """``roles.md``."""
    return {"roles.md": page("Roles", *(text for role in sorted(ROLES.iterdir()) for text in _role(role)))}


def readmes() -> dict[Path, str]:
    """``README.md`` of every role."""
    return {role / "README.md": _readme(role) for role in sorted(ROLES.iterdir())}


def _readme(role: Path) -> str:
    about = yaml.safe_load((role / "meta" / "main.yml").read_text(encoding="utf-8"))["galaxy_info"]
    example = f"""    - name: Check
      ansible.builtin.import_role:
        name: privatewave.reconnect.{role.name}
        tasks_from: check"""
    return page(f"privatewave.reconnect.{role.name}", prose(f"{about['description']}."), example, *_entries(role, "##"))


def _role(role: Path) -> list[str]:
    return [f"## {role.name}", *_entries(role, f"### {role.name}:")]


def _entries(role: Path, head: str) -> list[str]:
    sections = []
    for name, told in specifications(role).items():
        short = f"{told['short_description']}."
        more = [said for said in told["description"] if said != short]
        sections += [f"{head} {name}", f"**{short}**", prose(markup(more))]
        if told.get("options"):
            sections.append(items(option(key, one) for key, one in told["options"].items()))
    return sections

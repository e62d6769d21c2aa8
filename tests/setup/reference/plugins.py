# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of modules, filters and other plugins, from what `ansible-doc` says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reference.text import code, item, items, markup, page, prose

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = "privatewave.reconnect"
KINDS = {"modules": ["module"], "filters": ["filter"], "plugins": ["lookup", "callback"]}
TITLES = {"modules": "Modules", "filters": "Filters", "plugins": "Lookup and callback"}


def pages() -> dict[str, str]:
    """``modules.md``, ``filters.md`` and ``plugins.md``."""
    made = {}
    for name, kinds in KINDS.items():
        sections = [text for kind in kinds for plugin, told in _asked(kind).items() for text in _section(plugin, told)]
        made[f"{name}.md"] = page(TITLES[name], *sections)
    return made


def _asked(kind: str) -> dict[str, Any]:
    """What `ansible-doc` says of every plugin of a kind."""
    folder = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect" / "plugins"
    place = folder / {"module": "modules"}.get(kind, kind)
    names = sorted({path.stem for path in place.iterdir() if path.suffix in (".py", ".yml") and path.stem[0] != "_"})
    if kind == "filter":
        names = sorted({path.stem for path in place.glob("*.yml")})
    program = Path(sys.executable).with_name("ansible-doc")
    answer = subprocess.run(
        [program, "--json", "--type", kind, *(f"{COLLECTION}.{name}" for name in names)],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(answer.stdout)
    return dict(sorted(found.items()))


def _section(name: str, told: Mapping[str, Any]) -> list[str]:
    document = told["doc"]
    attributes = document.get("attributes") or {}
    return [
        f"## {name.removeprefix(COLLECTION + '.')}",
        f"**{document['short_description']}.**",
        prose(markup(document["description"])),
        *_list("### Options", document.get("options") or {}),
        *_list("### Returns", told.get("return") or {}),
        *(
            [f"### Attributes\n\n{items(_attribute(key, one) for key, one in attributes.items())}"]
            if attributes
            else []
        ),
        *(["### Example", _indented(str(told["examples"]))] if told.get("examples") else []),
    ]


def _list(head: str, entries: Mapping[str, Any]) -> list[str]:
    return [f"{head}\n\n{items(option(name, one) for name, one in entries.items())}"] if entries else []


def option(name: str, told: Mapping[str, Any], depth: int = 0) -> str:
    """An option or a returned value, with those inside it."""
    facts = [str(told.get("type") or "str")]
    if told.get("elements"):
        facts[0] = f"{facts[0]} of {told['elements']}"
    if told.get("required"):
        facts.append("required")
    said = [markup(told.get("description"))]
    if told.get("choices"):
        said.append(f"One of {', '.join(code(one) for one in told['choices'])}.")
    if told.get("default") not in (None, "", [], {}):
        said.append(f"Default: {code(json.dumps(told['default']).strip(chr(34)))}.")
    if told.get("returned") not in (None, "always", "success"):
        said.append(f"Returned: {told['returned']}.")
    line = item(f"{code(name)} ({', '.join(facts)})", *said, depth=depth)
    inside = told.get("suboptions") or told.get("contains") or {}
    return items([line, *(option(key, one, depth + 1) for key, one in inside.items())])


def _attribute(name: str, told: Mapping[str, Any]) -> str:
    return item(f"{code(name)}, support {told.get('support')}", markup(told.get("details") or told.get("description")))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}".rstrip() for line in text.strip("\n").splitlines())

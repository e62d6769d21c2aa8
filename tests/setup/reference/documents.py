# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of documents, from the types that declare them, and the JSON Schema of a result."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible_collections.privatewave.reconnect.plugins.plugin_utils.documents import Evidence
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.documents import (
    FindingDocument,
    Step,
    Verdict,
)
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.judge.schemas import schema_of
from reconnect.result import json_schema

from reference.text import code, item, items, page, prose

ROOT = Path(__file__).resolve().parents[3]
PLUGINS = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect" / "plugins"
UTILS = PLUGINS / "module_utils"

INTRODUCTION = """
Each stage makes a document, and the next one reads it: **evidence**, **verdict**, **result**.
Times are RFC 3339 in UTC (`2026-01-31T03:00:00Z`), durations are seconds, and sizes are bytes.
A field whose name ends in `_ms` is milliseconds.

JSON Schemas: [evidence](schemas/evidence.json), [finding](schemas/finding.json), [plan](schemas/plan.json),
[verdict](schemas/verdict.json), [result](schemas/result.json).
"""

#: The chapters of the page: the file that declares each, and the only classes of it that belong there.
CHAPTERS: dict[str, tuple[Path, tuple[str, ...]]] = {
    "Probe": (UTILS / "_probe.py", ("Answered", "Failed")),
    "Evidence": (PLUGINS / "plugin_utils" / "documents.py", ()),
    "Evidence: settings": (UTILS / "_settings.py", ()),
    "Evidence: host": (UTILS / "_host" / "documents.py", ()),
    "Evidence: asterisk": (UTILS / "_asterisk" / "documents.py", ()),
    "Evidence: database": (UTILS / "_database" / "documents.py", ()),
    "Evidence: account": (UTILS / "_account" / "documents.py", ()),
    "Evidence: network": (UTILS / "_net" / "documents.py", ()),
    "Verdict": (PLUGINS / "plugin_utils" / "judge" / "documents.py", ()),
    "Result": (ROOT / "python_wrapper" / "reconnect" / "result.py", ()),
}
#: The documents of the collection that have a JSON Schema of their own.
SCHEMAS: dict[str, Any] = {"evidence": Evidence, "finding": FindingDocument, "verdict": Verdict, "plan": list[Step]}
_LITERAL = re.compile(r"Literal\[([^]]*)\]")
DOCUMENTS = ("TypedDict", "Document", "BaseModel")


def pages() -> dict[str, str]:
    """``documents.md`` and ``schemas/result.json``."""
    chapters = [text for title, (path, only) in CHAPTERS.items() for text in _chapter(title, path, only)]
    return {
        "documents.md": page("Documents", INTRODUCTION.strip(), *chapters),
        "schemas/result.json": json.dumps(json_schema(), indent=1) + "\n",
        **{f"schemas/{name}.json": json.dumps(schema_of(kind), indent=1) + "\n" for name, kind in SCHEMAS.items()},
    }


def _chapter(title: str, path: Path, only: tuple[str, ...]) -> Iterator[str]:
    source = path.read_text(encoding="utf-8")
    module = ast.parse(source)
    aliases = {
        node.targets[0].id: ast.unparse(node.value)
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and "Literal[" in ast.unparse(node)
    }
    classes = {node.name: node for node in ast.walk(module) if isinstance(node, ast.ClassDef)}
    yield f"## {title}"
    yield prose(_text(ast.get_docstring(module) or ""))
    for name, node in classes.items():
        if (name in only or not only) and not name.startswith("_") and _is_document(node, classes):
            yield f"### {title.rpartition(': ')[2].lower()}: {name}"
            yield prose(_text(ast.get_docstring(node) or ""))
            yield items(_field(*one, aliases) for one in _fields(node, classes, source.splitlines()))


def _is_document(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> bool:
    bases = [ast.unparse(base) for base in node.bases]
    return any(base in DOCUMENTS or (base in classes and _is_document(classes[base], classes)) for base in bases)


def _fields(node: ast.ClassDef, classes: dict[str, ast.ClassDef], lines: list[str]) -> Iterator[tuple[str, str, str]]:
    """Name, type and comment of each field; those of its private bases, too."""
    for base in map(ast.unparse, node.bases):
        if base in classes:
            yield from _fields(classes[base], classes, lines)
    for field in node.body:
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and field.target.id != "model_config"
        ):
            yield field.target.id, ast.unparse(field.annotation), _comment(lines[: field.lineno - 1])


def _comment(before: list[str]) -> str:
    """The comment ``#:`` that ends the lines before a field."""
    found: list[str] = []
    for line in reversed(before):
        if not line.strip().startswith("#"):
            break
        found.insert(0, line.strip().lstrip("#: "))
    return _text(" ".join(found))


def _field(name: str, kind: str, said: str, aliases: dict[str, str]) -> str:
    for alias, meaning in aliases.items():
        kind = re.sub(rf"\b{alias}\b", meaning, kind)
    choices = [one for listed in _LITERAL.findall(kind) for one in ast.literal_eval(f"[{listed}]")]
    plain = _LITERAL.sub(lambda found: type(ast.literal_eval(f"[{found[1]}]")[0]).__name__, kind)
    shown = ", ".join(map(code, choices))
    limits = "" if not choices else f"One of {shown}." if len(choices) > 1 else f"Always {shown}."
    return item(f"{code(name)} ({code(plain)})", said, limits)


def _text(said: str) -> str:
    """A docstring as Markdown: code has one backtick."""
    return said.replace("``", "`")

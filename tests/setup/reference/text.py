# SPDX-License-Identifier: GPL-3.0-or-later
"""Markdown as the pages have it: one sentence per line, no line longer than 120 characters."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from antsibull_docs_parser import dom
from antsibull_docs_parser.parser import Context, parse

WIDTH = 120
#: The pages of ``docs/reference`` that a person writes.
BY_HAND = ("index.md",)

_SENTENCE = re.compile(r"(?<!e\.g\.)(?<=[.!?]) +(?=[*_\[(\"“]*[`A-Z0-9])")


def page(title: str, *parts: str) -> str:
    """A generated page."""
    note = "<!-- Made by `make docs`. -->"
    return "\n\n".join(part for part in (note, f"# {title}", *parts) if part) + "\n"


def prose(text: str, indent: int = 0) -> str:
    """Sentences, each on a line of its own; one that is too long goes on in the next line."""
    lines = []
    for sentence in _SENTENCE.split(" ".join(text.split())):
        lines += textwrap.wrap(sentence, WIDTH - indent, break_long_words=False, break_on_hyphens=False)
    return ("\n" + " " * indent).join(lines)


def item(head: str, *texts: str, depth: int = 0) -> str:
    """An item of a list: what it is about, then sentences. ``depth`` is how many lists it is in."""
    blank = "  " * depth
    body = prose(" ".join(text for text in texts if text), len(blank) + 2)
    lines = f"- {head}: {body}".splitlines() if body else [f"- {head}"]
    if len(blank + lines[0]) > WIDTH:
        lines = [f"- {head}:", *f"  {body}".splitlines()]
    return "\n".join(blank + line for line in lines)


def items(entries: Iterable[str]) -> str:
    """A list."""
    return "\n".join(entries)


def code(value: Any) -> str:
    """A value, a name or a path as code."""
    return f"`{value}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell has one short text."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines)


def markup(text: str | Sequence[str] | None) -> str:
    """Ansible's markup (``C(x)``, ``O(x)``, ``M(x)``…) as Markdown."""
    texts = [text] if isinstance(text, str) else list(text or [])
    return " ".join("".join(_part(part) for part in paragraph) for one in texts for paragraph in parse(one, Context()))


def _part(part: Any) -> str:
    if isinstance(part, dom.ModulePart):
        return code(part.fqcn)
    if isinstance(part, dom.PluginPart):
        return code(part.plugin.fqcn)
    if isinstance(part, (dom.OptionNamePart, dom.ReturnValuePart)):
        return code(part.name if part.value is None else f"{part.name}={part.value}")
    if isinstance(part, (dom.OptionValuePart, dom.EnvVariablePart)):
        return code(getattr(part, "value", None) or getattr(part, "name", ""))
    if isinstance(part, dom.CodePart):
        return code(part.text)
    if isinstance(part, dom.BoldPart):
        return f"**{part.text}**"
    if isinstance(part, dom.ItalicPart):
        return f"*{part.text}*"
    if isinstance(part, dom.LinkPart):
        return f"[{part.text}]({part.url})"
    if isinstance(part, dom.URLPart):
        return f"<{part.url}>"
    return str(getattr(part, "text", ""))


def notes(kind: type) -> dict[str, str]:
    """What the source of a class says of its fields: the comment ``#:`` before, or the string after one."""
    source = textwrap.dedent(inspect.getsource(kind))
    lines = source.splitlines()
    body = ast.parse(source).body[0]
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {}
    for number, node in enumerate(body.body):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        after = body.body[number + 1] if number + 1 < len(body.body) else None
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            found[node.target.id] = after.value.value
            continue
        comment: list[str] = []
        for line in reversed(lines[: node.lineno - 1]):
            if not line.strip().startswith("#"):
                break
            comment.insert(0, line.strip().removeprefix("#:").removeprefix("#").strip())
        if comment:
            found[node.target.id] = " ".join(comment)
    return found

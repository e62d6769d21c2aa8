# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of the house: arrows between them go down only, and none is so full that one can't find one's way in."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
COLLECTION = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect"
PLUGINS = "ansible_collections.privatewave.reconnect.plugins"

#: From the top to the bottom; those of one line do not know each other. What is in none of them is below all.
WRAPPER = [["cli"], ["service"], ["engine"], ["incidents"], ["reports"], ["runs", "ansible"]]
MODULE_UTILS = [["_server", "_setup"], ["_account"], ["_asterisk"], ["_database"], ["_host"], ["_net"], ["_lease"]]
PLUGIN_UTILS = [["registrations", "pairs"], ["expected", "results"], ["judge", "render", "accounts"]]
COLLECTION_PLUGINS = [["action", "callback", "filter", "lookup", "modules"], ["plugin_utils"], ["module_utils"]]
#: Where a rule, a plugin or a test of the whole stands beside its like, however many there are.
FLAT = {"rules", "action", "filter", "lookup", "modules", "e2e"}
MOST = 15


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, and every name it takes from one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def upward(folder: Path, package: str, floors: list[list[str]]) -> list[str]:
    """The imports below ``folder`` that lead up, or from one room into another on the same floor."""
    floor_of = {room: number for number, rooms in enumerate(floors) for room in rooms}
    found = []
    for path in sorted(folder.rglob("*.py")):
        own = path.relative_to(folder).with_suffix("").parts[0].replace("__main__", "cli")
        for name in imported(path):
            other = name.removeprefix(package + ".").partition(".")[0]
            if not name.startswith(package + ".") or other not in floor_of or other == own:
                continue
            if floor_of[other] <= floor_of.get(own, len(floors)):
                found.append(f"{path.relative_to(folder)} imports {other}")
    return found


@pytest.mark.parametrize(
    ("folder", "package", "floors"),
    [
        (ROOT / "python_wrapper" / "reconnect", "reconnect", WRAPPER),
        (COLLECTION / "plugins", PLUGINS, COLLECTION_PLUGINS),
        (COLLECTION / "plugins" / "module_utils", f"{PLUGINS}.module_utils", MODULE_UTILS),
        (COLLECTION / "plugins" / "plugin_utils", f"{PLUGINS}.plugin_utils", PLUGIN_UTILS),
    ],
    ids=["wrapper", "plugins", "module_utils", "plugin_utils"],
)
def test_arrows_go_down_only(folder: Path, package: str, floors: list[list[str]]) -> None:
    rooms = {room for line in floors for room in line}
    assert {room for room in rooms if (folder / room).is_dir() or (folder / f"{room}.py").is_file()} == rooms
    assert upward(folder, package, floors) == []


def test_no_folder_holds_more_modules_than_one_can_overlook() -> None:
    own = [path for top in ("collections", "python_wrapper", "tests", "plugins") for path in (ROOT / top).rglob("*.py")]
    counts = Counter(path.parent for path in own if path.name != "__init__.py" and "output" not in path.parts)
    full = {str(folder.relative_to(ROOT)): n for folder, n in counts.items() if n > MOST and folder.name not in FLAT}
    assert full == {}

"""The names of an inventory, remembered for as long as nothing changes that Ansible reads them from.

Reading them takes a second Ansible. What an inventory of plain files says depends on those files, on Ansible's settings
and on its release alone. One that runs a program, or asks somebody else (a plugin), is read each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from importlib import metadata
from pathlib import Path
from typing import Any

from reconnect.ansible.project import Project
from reconnect.machine import make_private

#: Folders that hold variables; no name comes from them.
_VARIABLES = frozenset({"group_vars", "host_vars", "vars_plugins"})
_PLUGIN = re.compile(rb"plugin[\"']?\s*:")
#: A file of any of these beginnings is no plain file: a program, or a vault.
_NOT_PLAIN = (b"#!", b"$ANSIBLE_VAULT")


def files(source: Path) -> list[tuple[Path, Path]]:
    """The files of an inventory in their order, each with its name below `source`; hidden ones are none."""
    # A path that this user may not look at is no file: Ansible itself says what it cannot read.
    found = [source] if os.path.isfile(source) else sorted(path for path in source.rglob("*") if os.path.isfile(path))
    named = [(file, file.relative_to(source)) for file in found]
    return [(file, name) for file, name in named if not any(part.startswith(".") for part in name.parts)]


def key(source: Path, project: Project) -> str | None:
    """What the names in `source` depend on (SHA-256, hexadecimal); None where that cannot be said."""
    if "ANSIBLE_INVENTORY_ENABLED" in os.environ or project.option("inventory", "enable_plugins"):
        return None
    digest = hashlib.sha256(metadata.version("ansible-core").encode())
    surroundings = sorted((name, value) for name, value in os.environ.items() if name.startswith("ANSIBLE_"))
    digest.update(json.dumps([str(source), surroundings]).encode())
    try:
        if any(path.is_symlink() and path.is_dir() for path in source.rglob("*")):
            return None
        digest.update(project.ansible_cfg.read_bytes())
        for file, name in files(source):
            content = file.read_bytes()
            if not _VARIABLES.intersection(name.parts) and not _is_plain(file, content):
                return None
            digest.update(f"\n{name}\n{len(content)}\n".encode(errors="surrogateescape") + content)
    except OSError:
        return None
    return digest.hexdigest()


def recall(folder: Path, source: Path, known_by: str) -> dict[str, Any] | None:
    """The names that `keep` wrote under the same key."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_file(folder, source).read_bytes())
        if kept["key"] == known_by:
            return {"hosts": list(kept["names"]["hosts"]), "groups": dict(kept["names"]["groups"])}
    return None


def keep(folder: Path, source: Path, known_by: str, names: dict[str, Any]) -> None:
    """Keeps the names; where that fails they are read again next time."""
    file = _file(folder, source)
    own = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    with contextlib.suppress(OSError):
        make_private(folder)
        with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as new:
            json.dump({"key": known_by, "names": names}, new)
        own.replace(file)


def _is_plain(file: Path, content: bytes) -> bool:
    return not (content.startswith(_NOT_PLAIN) or os.access(file, os.X_OK) or _PLUGIN.search(content))


def _file(folder: Path, source: Path) -> Path:
    return folder / f"{hashlib.sha256(os.fsencode(source)).hexdigest()[:32]}.json"

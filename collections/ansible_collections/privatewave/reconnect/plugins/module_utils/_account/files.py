# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in pjsip.conf or sip.conf: sections of a file, edited line by line so that everything else stays as it is.

Templates and included files are followed for reading. A new section goes to the end of the main file.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
from typing import TYPE_CHECKING, Dict, List, Tuple, cast

from ansible_collections.privatewave.reconnect.plugins.module_utils._files import opener, replace
from ansible_collections.privatewave.reconnect.plugins.module_utils._host import config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import (
        Change,
        Found,
        Kind,
        Values,
    )
    from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import Settings

#: The values of each section that has this kind and name.
Objects = Dict[Tuple[str, str], List[Dict[str, str]]]
#: A line of an option: its file, its number in the file, its name in lower case, and its value.
Option = Tuple[str, int, str, str]

FILES = {"pjsip": "pjsip.conf", "sip": "sip.conf"}
KINDS: dict[str, tuple[Kind, ...]] = {"pjsip": ("endpoint", "auth", "aor"), "sip": ("peer",)}
#: Columns of tables that are the section's name in a file.
_IDS = ("id", "name")
#: Options that add up when they come several times; of any other the last one counts.
_LISTS = ("allow", "disallow", "permit", "deny")
#: Other names of options.
_ALIASES = {"username": "defaultuser"}
_HEADER = re.compile(r"\s*\[([^\]]+)\]\s*(?:\(([^)]*)\))?")
_OPTION = re.compile(r"\s*([^=;\s#][^=;]*?)\s*=>?\s*(.*)$")


class _Section:
    """A section of a file: its header in line ``start``, with its ``options`` in brackets, and its lines."""

    def __init__(self, path: str, name: str, options: str | None, start: int) -> None:
        self.path = path
        self.name = name
        words = listed(options)
        self.template = "!" in words
        self.adds = "+" in words
        self.parents = [one for one in words if one not in ("!", "+")]
        self.start = start
        self.options: list[Option] = []


class Sections:
    """The files as a `store.Store`."""

    def __init__(self, settings: Settings, directory: str = config.DIRECTORY) -> None:
        """Read the files. Raises `ProbeError` ``missing`` when there is none, `OSError` when one cannot be read."""
        self.driver: str = settings["channel_driver"]
        self._directory = directory
        self.main = os.path.join(directory, FILES[self.driver])
        self.columns: dict[Kind, None] = dict.fromkeys(KINDS[self.driver])
        self._load()

    def hides(self, kind: Kind) -> bool:
        """No: the whole file is read."""
        del kind
        return False

    def close(self) -> None:
        """Nothing is held open."""

    def _load(self) -> None:
        self._lines: dict[str, list[str]] = {}
        if not os.path.exists(self.main):
            raise ProbeError("missing", "there is no {0}".format(self.main))
        self._include(self.main, 0)
        self._parse()

    def _include(self, path: str, depth: int) -> None:
        """Read a file and those that it includes."""
        if depth > config.DEPTH or path in self._lines:
            return
        with open(path, encoding="utf-8", errors="surrogateescape", opener=opener) as file:
            lines = file.read(config.FILE_LIMIT).splitlines()
        self._lines[path] = lines
        for line in lines:
            include = config.INCLUDE.match(line)
            if include:
                for other in sorted(glob.glob(os.path.join(self._directory, include.group(1).strip()))):
                    self._include(other, depth + 1)

    def _parse(self) -> None:
        """Find the sections in the lines of the files."""
        self._sections: list[_Section] = []
        current: _Section | None = None
        for path, lines in self._lines.items():
            commented = False
            for number, line in enumerate(lines):
                bare, commented = _uncommented(line, commented)
                header, option = _HEADER.match(bare), _OPTION.match(bare)
                if header:
                    current = _Section(path, header.group(1).strip(), header.group(2), number)
                    self._sections.append(current)
                elif option and current is not None:
                    value = option.group(2).strip().replace("\\;", ";")
                    current.options.append((path, number, option.group(1).strip().lower(), value))

    # Reading

    def read(self, users: Iterable[str], lock: bool = False) -> dict[str, Found]:
        """The objects of users."""
        del lock
        objects: Objects = {}
        for section in self._sections:
            if section.template or section.adds:
                continue
            values = self._values(section)
            kind = self._kind(section, values)
            if kind:
                objects.setdefault((kind, section.name), []).append(values)
        return {user: self._objects(user, objects) for user in users}

    def _kind(self, section: _Section, values: Mapping[str, str]) -> str | None:
        if self.driver == "sip":
            return "peer" if section.name not in ("general", "authentication") else None
        return values.get("type", "").lower() if values.get("type", "").lower() in KINDS["pjsip"] else None

    def _objects(self, user: str, objects: Objects) -> Found:
        own = objects.get((KINDS[self.driver][0], user), [{}])[0]
        by_kind: dict[str, dict[str, Values]] = {}
        doubled: list[Kind] = []
        for kind in KINDS[self.driver]:
            names = {user, *listed(own.get({"auth": "auth", "aor": "aors"}.get(kind, "")))}
            rows = {name: objects[(kind, name)] for name in sorted(names) if (kind, name) in objects}
            by_kind[kind] = {name: dict(rows[name][0], id=name, name=name) for name in rows}
            doubled += [kind for name in rows if len(rows[name]) > 1]
        return cast("Found", dict(by_kind, doubled=doubled, contact=[]))

    def _values(self, section: _Section, depth: int = 0) -> dict[str, str]:
        """The options of a section, those of its templates before them."""
        values: dict[str, str] = {}
        if depth < config.DEPTH:
            for parent in section.parents:
                above = next((one for one in self._sections if one.name == parent and not one.adds), None)
                for name, value in (self._values(above, depth + 1) if above else {}).items():
                    values[name] = value
        for _path, _number, name, value in self._own(section):
            name = _ALIASES.get(name, name) if self.driver == "sip" else name
            if name in _LISTS and values.get(name):
                values[name] += "," + value
            else:
                values[name] = value
        return values

    def _own(self, section: _Section) -> list[Option]:
        """The options of a section and of those that add to it."""
        more = [one for one in self._sections if one.adds and one.name == section.name]
        return [option for one in [section, *more] for option in one.options]

    def row(self, kind: Kind, key: str) -> Values | None:
        """An object, or None."""
        return object_of(self.read([key])[key], kind, key)

    # Writing

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: at its end each file is replaced as a whole, after an exception none is."""
        before = {path: list(lines) for path, lines in self._lines.items()}
        try:
            yield
            for path, lines in self._lines.items():
                if lines != before[path]:
                    # Its time is now: Asterisk reloads only what is newer.
                    replace(path, "\n".join(lines) + "\n", keep=True)
        except BaseException:
            self._lines = before
            raise
        finally:
            self._load()

    def write(self, changes: Iterable[Change]) -> None:
        """Carry out changes."""
        for change in changes:
            if change["kind"] == "contact":
                continue
            section = self._find(change["kind"], change["id"])
            values = {name: value for name, value in change["values"].items() if name not in _IDS}
            if change["action"] == "delete":
                self._delete(section)
            elif section is None:
                self._append(change["kind"], change["id"], values)
            else:
                self._update(section, values)
            self._parse()

    def _find(self, kind: Kind, name: str) -> _Section | None:
        for section in self._sections:
            whole = section.name == name and not section.template and not section.adds
            if whole and self._kind(section, self._values(section)) == kind:
                return section
        return None

    def _append(self, kind: Kind, name: str, values: Values) -> None:
        lines = self._lines[self.main]
        if lines and lines[-1].strip():
            lines.append("")
        lines.append("[{0}]".format(name))
        if self.driver == "pjsip":
            lines.append("type={0}".format(kind))
            values = {key: value for key, value in values.items() if key != "type"}
        lines.extend(
            "{0}={1}".format(key, _written(values[key])) for key in _ordered(values) if values[key] is not None
        )

    def _update(self, section: _Section, values: Values) -> None:
        for name in _ordered(values):
            lines = [(path, number) for path, number, option, _value in self._own(section) if option == name]
            for path, number in reversed(lines[1:]):
                del self._lines[path][number]
            line = "{0}={1}".format(name, _written(values[name]))
            if lines and values[name] is not None:
                path, number = lines[0]
                self._lines[path][number] = line
            elif lines:
                del self._lines[lines[0][0]][lines[0][1]]
            elif values[name] is not None:
                self._lines[section.path].insert(section.start + 1, line)
            self._parse()
            section = self._same(section)

    def _same(self, section: _Section) -> _Section:
        """The section after its file was parsed again."""
        alike = [one for one in self._sections if (one.path, one.name) == (section.path, section.name)]
        return min(alike, key=lambda one: abs(one.start - section.start))

    def _delete(self, section: _Section | None) -> None:
        if section is None:
            return
        lines = self._lines[section.path]
        end = next(
            (one.start for one in self._sections if one.path == section.path and one.start > section.start),
            len(lines),
        )
        # Comments right before the next section belong to it.
        while end < len(lines) and end > section.start + 1 and lines[end - 1].lstrip().startswith(";"):
            end -= 1
        del lines[section.start : end]


def object_of(found: Found, kind: Kind, key: str) -> Values | None:
    """An object that was found, or None."""
    if kind == "contact":
        return next((one for one in found.get("contact", []) if one["id"] == key), None)
    return found.get(kind, {}).get(key)


def _ordered(values: Iterable[str]) -> list[str]:
    """``disallow`` before ``allow``, ``deny`` before ``permit``: Asterisk applies them in their order."""
    first = ("type", "disallow", "allow", "deny", "permit")
    return sorted(values, key=lambda name: (first.index(name) if name in first else len(first), name))


def _written(value: object) -> str:
    text = str(value if value is not None else "")
    if "\n" in text or "\r" in text:
        raise ProbeError("invalid", "a value has a line break")
    return text.replace(";", "\\;")


def _uncommented(line: str, commented: bool) -> tuple[str, bool]:
    """A line without its comments, and whether a comment goes on in the next line."""
    if commented:
        end = line.find("--;")
        if end < 0:
            return "", True
        line = line[end + 3 :]
    start = line.find(";--")
    if start >= 0 and line[start + 3 : start + 4] != "-":
        end = line.find("--;", start + 3)
        if end < 0:
            return line[:start], True
        line = line[:start] + line[end + 3 :]
    return line.replace("\\;", "\0").partition(";")[0].replace("\0", "\\;"), False

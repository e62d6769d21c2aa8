# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in pjsip.conf or sip.conf: sections of a file, edited line by line so that everything else stays as it is.

Templates are followed for reading, and so are files that are included; what is new goes to the end of the main file.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import tempfile

from ansible_collections.privatewave.reconnect.plugins.module_utils import _config
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError

FILES = {"pjsip": "pjsip.conf", "sip": "sip.conf"}
KINDS = {"pjsip": ("endpoint", "auth", "aor"), "sip": ("peer",)}
#: Columns of tables that are the section's name here.
_IDS = ("id", "name")
#: Options that may come several times and then add up; of the others the last one counts.
_LISTS = ("allow", "disallow", "permit", "deny")
#: What may come under several names.
_ALIASES = {"username": "defaultuser"}
_DEPTH = 10
_HEADER = re.compile(r"\s*\[([^\]]+)\]\s*(?:\(([^)]*)\))?")
_OPTION = re.compile(r"\s*([^=;\s#][^=;]*?)\s*=>?\s*(.*)$")
_INCLUDE = re.compile(r"\s*#\s*(?:try)?include\s+[\"<]?([^\">;]+?)[\">]?\s*(?:;.*)?$")


class _Section:
    def __init__(self, path, name, options, start):
        self.path = path
        self.name = name
        words = [one.strip() for one in (options or "").split(",") if one.strip()]
        self.template = "!" in words
        self.adds = "+" in words
        self.parents = [one for one in words if one not in ("!", "+")]
        self.start = start
        #: (line number, name in lower case, value)
        self.options = []


class Sections:
    """The files as a store: ``read`` objects, ``write`` changes, kept at the end of a ``transaction``."""

    def __init__(self, settings, directory=_config.DIRECTORY):
        """Read the files. Raises `ProbeError` ``missing`` when there is none, `OSError` when one can't be read."""
        self.driver = settings.get("channel_driver") or "pjsip"
        self._directory = directory
        self.main = os.path.join(directory, FILES[self.driver])
        self.columns = dict.fromkeys(KINDS[self.driver])
        self._load()

    def close(self):
        """Nothing is held open."""

    def _load(self):
        self._lines = {}
        if not os.path.exists(self.main):
            raise ProbeError("missing", "there is no {0}".format(self.main))
        self._include(self.main, 0)
        self._parse()

    def _include(self, path, depth):
        """Read a file and those that it includes."""
        if depth > _DEPTH or path in self._lines:
            return
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read(_config.FILE_LIMIT).splitlines()
        self._lines[path] = lines
        for line in lines:
            include = _INCLUDE.match(line)
            if include:
                for other in sorted(glob.glob(os.path.join(self._directory, include.group(1).strip()))):
                    self._include(other, depth + 1)

    def _parse(self):
        """Find the sections in the lines of the files."""
        self._sections, current = [], None
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

    # ------------------------------------------------------------------------------------------------ reading

    def read(self, users, lock=False):
        """The objects of users, in the shape that the tables have."""
        del lock
        objects = {}
        for section in self._sections:
            if section.template or section.adds:
                continue
            values = self._values(section)
            kind = self._kind(section, values)
            if kind:
                objects.setdefault((kind, section.name), []).append(values)
        return {user: self._objects(user, objects) for user in users}

    def _kind(self, section, values):
        if self.driver == "sip":
            return "peer" if section.name not in ("general", "authentication") else None
        return values.get("type", "").lower() if values.get("type", "").lower() in KINDS["pjsip"] else None

    def _objects(self, user, objects):
        found = {"doubled": [], "contact": []}
        own = objects.get((KINDS[self.driver][0], user), [{}])[0]
        for kind in KINDS[self.driver]:
            column = {"auth": "auth", "aor": "aors"}.get(kind)
            names = {user} | {one.strip() for one in str(own.get(column) or "").split(",") if column and one.strip()}
            rows = {name: objects[(kind, name)] for name in sorted(names) if (kind, name) in objects}
            found[kind] = {name: dict(rows[name][0], id=name, name=name) for name in rows}
            found["doubled"] += [kind for name in rows if len(rows[name]) > 1]
        return found

    def _values(self, section, depth=0):
        """The options of a section with those of its templates before them."""
        values = {}
        if depth < _DEPTH:
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

    def _own(self, section):
        """The options that stand in a section and in those that add to it."""
        more = [one for one in self._sections if one.adds and one.name == section.name]
        return [option for one in [section, *more] for option in one.options]

    def row(self, kind, key):
        """An object, or None."""
        return self.read([key])[key].get(kind, {}).get(key)

    # ------------------------------------------------------------------------------------------------ writing

    @contextlib.contextmanager
    def transaction(self):
        """What is written within it is kept at its end, each file as a whole, and nothing of it after an exception."""
        before = {path: list(lines) for path, lines in self._lines.items()}
        try:
            yield self
            for path, lines in self._lines.items():
                if lines != before[path]:
                    _replace(path, "\n".join(lines) + "\n")
        except BaseException:
            self._lines = before
            raise
        finally:
            self._load()

    def write(self, changes):
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

    def _find(self, kind, name):
        for section in self._sections:
            whole = section.name == name and not section.template and not section.adds
            if whole and self._kind(section, self._values(section)) == kind:
                return section
        return None

    def _append(self, kind, name, values):
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

    def _update(self, section, values):
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

    def _same(self, section):
        """The section after its file was parsed anew."""
        alike = [one for one in self._sections if (one.path, one.name) == (section.path, section.name)]
        return min(alike, key=lambda one: abs(one.start - section.start))

    def _delete(self, section):
        if section is None:
            return
        lines = self._lines[section.path]
        end = next(
            (one.start for one in self._sections if one.path == section.path and one.start > section.start),
            len(lines),
        )
        # Comments before the next section belong to that one.
        while end < len(lines) and end > section.start + 1 and lines[end - 1].lstrip().startswith(";"):
            end -= 1
        del lines[section.start : end]


def _ordered(values):
    """``disallow`` before ``allow``, ``deny`` before ``permit``: Asterisk goes through them in their order."""
    first = ("type", "disallow", "allow", "deny", "permit")
    return sorted(values, key=lambda name: (first.index(name) if name in first else len(first), name))


def _written(value):
    value = str(value if value is not None else "")
    if "\n" in value or "\r" in value:
        raise ProbeError("invalid", "a value has a line break in it")
    return value.replace(";", "\\;")


def _uncommented(line, commented):
    """A line without its comments, and whether a comment of several lines goes on."""
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


def _replace(path, content):
    """Put a file in place as a whole, with the owner and the mode that it had."""
    folder = os.path.dirname(path)
    handle, name = tempfile.mkstemp(prefix=".account-", dir=folder)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(content)
            file.flush()
            # Its time is the present one: Asterisk reads anew only what is newer.
            shutil.copymode(path, name)
            status = os.stat(path)
            os.chown(name, status.st_uid, status.st_gid)
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    folder = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

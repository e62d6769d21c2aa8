# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a module of module_utils on a host, from sources that were sent along or from byte code that is kept there.

The control node sends the text of this file and a call of `run` as one script: it needs nothing else of ours.
To compile the sources takes longer than to ask the questions. So their byte code is kept in memory (`home`), under the
digest of the sources and the version of Python. Whoever may write there runs code as us: the folder and the file have
to be ours alone, and the file has to have the digest that it begins with. If anything is wrong, nothing is kept.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import importlib.util
import json
import marshal
import os
import stat
import sys
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PACKAGE = "ansible_collections.privatewave.reconnect.plugins.module_utils"
#: The answer of a host that has nothing kept.
UNKEPT = "not_kept"
#: How many collectors are kept: of several control nodes, releases or versions of Python.
MOST_KEPT = 4
#: Bytes of byte code.
SIZE_LIMIT = 16 * 1024 * 1024
_DIGEST = hashlib.sha256().digest_size
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def run(module: str, arguments: str, digest: str, sources: str = "") -> dict[str, Any]:
    """What ``answer(**arguments)`` of a module answers, or what it raised.

    ``arguments`` is JSON. ``sources`` is JSON, ``{name: text}``, as zlib in base 85, and ``digest`` is the SHA-256 of
    the JSON in hex. Without sources the byte code that is kept is run; where there is none, that is the answer.
    """
    name, folder = "{0}-{1}".format(digest, importlib.util.MAGIC_NUMBER.hex()), home()
    try:
        if sources:
            text = zlib.decompress(base64.b85decode(sources))
            if hashlib.sha256(text).hexdigest() != digest:
                raise ValueError("the sources have another digest than was told")
            codes = _compiled(json.loads(text))
            keep(folder, name, codes)
        else:
            found = kept(folder, name)
            if found is None:
                return {UNKEPT: True}
            codes = found
        sys.meta_path.insert(0, _Finder(codes))
        answer: Callable[..., Mapping[str, Any]] = importlib.import_module(PACKAGE + "." + module).answer
        return dict(answer(**json.loads(arguments)), changed=False)
    except Exception as error:
        return {"failed": True, "msg": "{0}: {1}".format(type(error).__name__, error)}


def home() -> str:
    """The folder in memory that is this user's: root's, or what systemd gave to the session."""
    user = os.geteuid()
    return "/run/user/{0}/reconnect".format(user) if user else "/run/reconnect"


def kept(folder: str, name: str) -> dict[str, bytes] | None:
    """The byte code of every module, None where nothing is kept that we may trust."""
    try:
        opened = _open_folder(folder)
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=opened)
        finally:
            os.close(opened)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not _ours_alone(found) or not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                return None
            content = file.read(SIZE_LIMIT)
    except OSError:
        return None
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    codes: dict[str, bytes] = marshal.loads(content[_DIGEST:])
    return codes


def keep(folder: str, name: str, codes: Mapping[str, bytes]) -> None:
    """Keep the byte code for the next question, as far as the host allows it."""
    body = marshal.dumps(dict(codes))
    new = ".{0}".format(os.urandom(8).hex())
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(folder, 0o700)
        opened = _open_folder(folder)
    except OSError:
        return
    try:
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=opened)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(hashlib.sha256(body).digest() + body)
            os.replace(new, name, src_dir_fd=opened, dst_dir_fd=opened)
        except OSError:
            os.unlink(new, dir_fd=opened)
        _drop_old(opened)
    except OSError:
        return
    finally:
        os.close(opened)


def _drop_old(opened: int) -> None:
    """Leave the newest collectors alone. Raises `OSError`."""
    written = {name: os.stat(name, dir_fd=opened, follow_symlinks=False).st_mtime for name in os.listdir(opened)}
    for name in sorted(written, key=lambda one: written[one])[:-MOST_KEPT]:
        os.unlink(name, dir_fd=opened)


def _open_folder(folder: str) -> int:
    """Open a folder that is ours alone, and that nobody else can put another one in the place of. Raises `OSError`."""
    above = os.lstat(os.path.dirname(folder))
    shared = above.st_mode & 0o022 and not above.st_mode & stat.S_ISVTX
    if shared or above.st_uid not in (0, os.geteuid()):
        raise PermissionError(folder)
    opened = os.open(folder, _FOLDER)
    if not _ours_alone(os.fstat(opened)):
        os.close(opened)
        raise PermissionError(folder)
    return opened


def _ours_alone(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _compiled(sources: Mapping[str, str]) -> dict[str, bytes]:
    return {name: marshal.dumps(compile(text, name + ".py", "exec", optimize=2)) for name, text in sources.items()}


class _Finder:
    """Imports modules of module_utils from their byte code."""

    def __init__(self, codes: Mapping[str, bytes]) -> None:
        self.codes = codes
        self.rooms = {name.partition(".")[0] for name in codes if "." in name}

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        own = name[len(PACKAGE) + 1 :]
        is_room = (PACKAGE + ".").startswith(name + ".") or own in self.rooms
        if is_room or (name.startswith(PACKAGE + ".") and own in self.codes):
            return importlib.util.spec_from_loader(name, self, is_package=is_room)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: object) -> None:
        return None

    def exec_module(self, module: Any) -> None:
        code = self.codes.get(module.__name__[len(PACKAGE) + 1 :])
        if code is not None:
            exec(marshal.loads(code), module.__dict__)

# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that several processes read and write, also in folders that belong to somebody else.

Root works in folders of other users: Asterisk's, the provisioning service's. They may put a link, a pipe or another
folder in the place of a name at any moment. So a path is walked once, folder by folder, and everything after that goes
by the open folder: no name is looked up twice, and nothing is changed by a path. A link is followed only where root or
this user made it; one of another user, only to read what the same user owns. Compare openat(2), O_NOFOLLOW and
fs.protected_symlinks of proc(5).
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: As many links as Linux follows in one path.
_LINKS = 40
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: A pipe without a writer does not block, a terminal does not become this process's.
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class _Walk:
    """A path that is being walked: its open folders from ``/`` on, and the user whose link was followed."""

    def __init__(self) -> None:
        self.folders = [os.open("/", _FOLDER)]
        self.name = "."
        self.made_by: int | None = None

    def close(self) -> None:
        while self.folders:
            os.close(self.folders.pop())

    def follow(self, path: str) -> None:
        """Walk to the folder of ``path``; its last part, which is no link, is then ``name`` in the last folder."""
        names = _parts(os.path.abspath(path))
        links = 0
        while names:
            name = names.pop()
            if name == "..":
                if len(self.folders) > 1:
                    os.close(self.folders.pop())
                continue
            target = self._link(name)
            if target is not None:
                links += 1
                if links > _LINKS:
                    raise _error(errno.ELOOP, path)
                if target.startswith("/"):
                    while len(self.folders) > 1:
                        os.close(self.folders.pop())
                names += _parts(target)
            elif names:
                self.folders.append(os.open(name, _FOLDER, dir_fd=self.folders[-1]))
            else:
                self.name = name
                return
        self.name = "."

    def _link(self, name: str) -> str | None:
        """Where a name leads to; None where it is no link, or not there yet."""
        try:
            handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folders[-1])
        except FileNotFoundError:
            return None
        try:
            status = os.fstat(handle)
            if not stat.S_ISLNK(status.st_mode):
                return None
            if status.st_uid not in (0, os.geteuid()):
                if self.made_by not in (None, status.st_uid):
                    raise _error(errno.ELOOP, name)
                self.made_by = status.st_uid
            return os.readlink("", dir_fd=handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def folder(path: str) -> Iterator[int]:
    """The open folder at ``path``, to write in. Raises `OSError`, also where a link of another user leads there."""
    walk = _Walk()
    try:
        walk.follow(path)
        if walk.made_by is not None:
            raise _error(errno.ELOOP, path)
        handle = os.open(walk.name, _FOLDER, dir_fd=walk.folders[-1])
    finally:
        walk.close()
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def private(path: str) -> Iterator[int]:
    """The open folder at ``path``, which only this user can change; it is made, with mode 0700, where it is missing.

    Raises `OSError`, also where another user owns it or may write in it.
    """
    handle = _made(os.path.abspath(path))
    try:
        status = os.fstat(handle)
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(errno.EPERM, "another user owns it or may write in it", path)
        yield handle
    finally:
        os.close(handle)


def _made(path: str) -> int:
    try:
        with folder(path) as handle:
            return os.dup(handle)
    except FileNotFoundError:
        parent = _made(os.path.dirname(path))
        try:
            return below(parent, os.path.basename(path), 0o700)
        finally:
            os.close(parent)


def below(parent: int, name: str, mode: int | None = None) -> int:
    """Open the folder ``name`` in an open folder; with a ``mode`` it is made where it is missing.

    Raises `OSError`, also where it is a link.
    """
    if mode is not None:
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, mode, dir_fd=parent)
    return os.open(name, _FOLDER, dir_fd=parent)


def opener(path: str, flags: int) -> int:
    """For ``open(path, opener=opener)``: a regular file to read, whoever owns its folder. Raises `OSError`."""
    walk = _Walk()
    try:
        walk.follow(path)
        handle = regular(walk.folders[-1], walk.name, flags)
        if walk.made_by is not None and os.fstat(handle).st_uid != walk.made_by:
            os.close(handle)
            raise _error(errno.ELOOP, path)
        return handle
    finally:
        walk.close()


def regular(parent: int, name: str, flags: int = os.O_RDONLY) -> int:
    """Open a regular file in an open folder. Raises `OSError`, also where it is a link, a pipe or a device."""
    handle = os.open(name, flags | _FILE, dir_fd=parent)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return handle
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise _error(errno.EISDIR, name)
    raise OSError(errno.EINVAL, "it is no regular file", name)


def replace(path: str, content: str, keep: bool = False) -> None:
    """Replace a file as a whole: after a crash it has the old content or the new one.

    Its mode is 0600. With ``keep`` the file exists, and its mode and owner stay. Bytes that are not UTF-8 may stand in
    ``content`` as surrogates. Raises `OSError`.
    """
    walk = _Walk()
    try:
        walk.follow(path)
        if walk.made_by is not None:
            raise _error(errno.ELOOP, path)
        owner, mode = None, 0o600
        if keep:
            handle = regular(walk.folders[-1], walk.name)
            status = os.fstat(handle)
            os.close(handle)
            owner, mode = (status.st_uid, status.st_gid), status.st_mode & 0o777
        replace_in(walk.folders[-1], walk.name, content.encode("utf-8", "surrogateescape"), mode, owner)
    finally:
        walk.close()


def replace_in(
    parent: int, name: str, content: bytes, mode: int, owner: tuple[int, int] | None = None, keep_as: str | None = None
) -> None:
    """Replace a file in an open folder as a whole; with ``keep_as`` the file before it has that name then.

    ``owner`` is user and group; None leaves them. Raises `OSError`.
    """
    new = ".new-" + secrets.token_hex(8)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            if owner is not None:
                os.fchown(file.fileno(), *owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if keep_as is not None:
            # It never is without a name.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(keep_as, dir_fd=parent)
            os.link(name, keep_as, src_dir_fd=parent, dst_dir_fd=parent, follow_symlinks=False)
        os.replace(new, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(new, dir_fd=parent)
        raise
    os.fsync(parent)


def lock(handle: int, seconds: float) -> bool:
    """Lock an open file or folder; False when another process holds it for ``seconds``. Raises `OSError`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def _parts(path: str) -> list[str]:
    """The parts of a path, the first one last."""
    return [part for part in reversed(path.split("/")) if part not in ("", ".")]


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)

"""What is at a path that somebody named, and the secret in a file."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from reconnect.errors import InputError
from reconnect.text import one_line


def kind(path: Path) -> Literal["file", "folder", "other"] | None:
    """What is at `path`; None where nothing is. Raises InputError where that cannot be known, for example in a folder
    that this user may not enter: there `Path.exists` raises or says no, as the version of Python is."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InputError(f"Cannot look at '{one_line(path)}': {one_line(reason).lower()}.") from None
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "other"


def secret(value: SecretStr | None, file: Path | None, what: str) -> str:
    """A secret of the settings: itself, else what its file holds; empty where it is nowhere. Raises InputError, which
    calls the file `what`."""
    if (words := value.get_secret_value().strip() if value is not None else "") or file is None:
        return words
    try:
        return file.expanduser().read_text(encoding="utf-8-sig").strip()
    except (OSError, RuntimeError, ValueError):
        raise InputError(f"Cannot read the {what}.") from None

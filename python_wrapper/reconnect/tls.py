"""By which certificates another host is verified."""

from __future__ import annotations

import ssl
from pathlib import Path

from reconnect.errors import InputError
from reconnect.text import one_line


def context(ca_file: Path | None, setting: str = "") -> ssl.SSLContext:
    """What verifies by the authorities in `ca_file`, else by those of the system. Raises InputError, which names the
    `setting` where only that tells people whose file it is."""
    try:
        return ssl.create_default_context(cafile=str(ca_file.expanduser()) if ca_file else None)
    except (OSError, RuntimeError, ValueError):
        # No file of certificates, a user without a home, or no path.
        which = f" of the setting {setting}" if setting else ""
        raise InputError(f"Cannot read the certificate file {one_line(ca_file)}{which}.") from None

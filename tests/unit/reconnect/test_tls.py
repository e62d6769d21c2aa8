# SPDX-License-Identifier: GPL-3.0-or-later
"""By which certificates another host is verified."""

from __future__ import annotations

import re
import ssl
from pathlib import Path

import pytest
from reconnect import tls
from reconnect.errors import InputError


def test_without_a_file_the_systems_authorities_verify() -> None:
    found = tls.context(None)
    assert (found.verify_mode, found.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.parametrize("name", ["nowhere.pem", ".", "empty.pem", "~no-such-user/ca.pem", "a\0b"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.pem").touch()
    file = Path(name) if name.startswith("~") else tmp_path / name
    with pytest.raises(InputError, match=r"^Cannot read the certificate file \S+\.$"):
        tls.context(file)
    with pytest.raises(InputError, match=re.escape(" of the setting a.ca_file.")):
        tls.context(file, "a.ca_file")

# SPDX-License-Identifier: GPL-3.0-or-later
"""What an account may be called, on a server and on the command line."""

from __future__ import annotations

import pytest
from ansible_collections.privatewave.reconnect.plugins.module_utils._probe import ProbeError
from ansible_collections.privatewave.reconnect.plugins.module_utils._text import account_name
from reconnect import names


@pytest.mark.parametrize("name", ["601", "_room", "+390200000601", "anna.b-c_d+e", "a" * 80])
def test_a_name_is_valid_everywhere(name: str) -> None:
    assert account_name(name) == names.checked("account", name) == name


@pytest.mark.attack("names of accounts that are options or paths", harm="execution")
@pytest.mark.parametrize("name", ["", "-rf", ".ssh", "../x", "a/b", "a b", "601\n", "{{ x }}", "a" * 81])
def test_a_name_is_invalid_everywhere(name: str) -> None:
    assert not names.is_name("account", name)
    with pytest.raises(ProbeError, match="is not a valid account name"):
        account_name(name)

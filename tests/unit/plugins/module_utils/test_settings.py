# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings that a task wrote by hand."""

from __future__ import annotations

from typing import Any

from ansible_collections.privatewave.reconnect.plugins.module_utils._settings import DEFAULTS, filled
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import settings


def test_missing_and_empty_settings_get_their_default() -> None:
    found = filled({"channel_driver": "", "database_engine": None, "odbc_class": "pbx"})
    assert found == {**DEFAULTS, "odbc_class": "pbx"}


def test_a_setting_without_a_default_here_stays_as_it_is() -> None:
    found = filled({"session_view": "", "channel_driver": "sip"})
    assert (found["session_view"], found["channel_driver"]) == ("", "sip")


def test_settings_of_the_inventory_have_the_same_defaults() -> None:
    found = settings.settings({})
    values: dict[str, Any] = {**found}
    assert {name: values[name] for name in DEFAULTS} == DEFAULTS
    assert filled(found) == found

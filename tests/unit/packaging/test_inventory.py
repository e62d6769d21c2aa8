# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory from NetBox names only options that its plugin documents; the plugin itself is not installed here."""

from __future__ import annotations

from pathlib import Path

import yaml
from jinja2 import Environment

FILE = Path(__file__).parents[3] / "packaging" / "inventory" / "netbox.yml"
#: Of netbox.netbox.nb_inventory, version 3.21, as far as an inventory of servers has use for them.
OPTIONS = {
    *("plugin", "validate_certs", "config_context", "flatten_config_context", "flatten_custom_fields"),
    *("query_filters", "device_query_filters", "vm_query_filters", "group_by", "groups", "keyed_groups", "compose"),
}


def test_the_inventory_from_netbox() -> None:
    said = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert (said["plugin"], FILE.name.endswith("netbox.yml")) == ("netbox.netbox.nb_inventory", True)
    assert set(said) <= OPTIONS
    # Neither the address nor the token of a site.
    assert "token" not in said
    condition = Environment().compile_expression(said["groups"]["servers"])
    assert [condition(tags=["pbx", "milan"]), condition(tags=["phone"]), condition()] == [True, False, False]

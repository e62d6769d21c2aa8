"""`python -P read_registry.py SOURCE COLLECTIONS GROUP` reads the account registry of an inventory and prints JSON.

The registry is found as Ansible would, through the variable `reconnect_account_registry`; no secret is looked up.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from ansible.vars.manager import VariableManager

from reconnect.ansible import collection


def main(source: str, collections: str, servers_group: str) -> None:
    """Prints `{"accounts", "servers", "mistakes": [{"where", "sentence"}]}`, `{"error"}` with one sentence, or `{}`
    where there is no server."""
    accounts = collection.module(collections, "plugin_utils.accounts")
    try:
        configuration, folder, servers = _asked(source, servers_group)
        if not servers:
            print("{}")
            return
        found = accounts.load(configuration, folder, servers)
    except (AnsibleError, accounts.RegistryError) as error:
        print(json.dumps({"error": str(error)}))
        return
    mistakes = [{"where": one.where, "sentence": one.sentence} for one in found.mistakes]
    named = {one.values["server"] for one in found.accounts}
    print(json.dumps({"accounts": len(found.accounts), "servers": len(named), "mistakes": mistakes}))


def _asked(source: str, servers_group: str) -> tuple[dict[str, Any], str, set[str]]:
    """The registry's configuration, the inventory's folder and the names of the servers."""
    loader = DataLoader()
    inventory = InventoryManager(loader=loader, sources=[source])
    group = inventory.groups.get(servers_group)
    hosts = group.get_hosts() if group else []
    folder = source if os.path.isdir(source) else os.path.dirname(source)
    if not hosts:
        return {}, folder, set()
    variables = VariableManager(loader=loader, inventory=inventory).get_vars(host=hosts[0])
    configuration = Templar(loader=loader, variables=variables).template(
        variables.get("reconnect_account_registry", {})
    )
    return dict(configuration), str(variables.get("inventory_dir") or folder), {host.name for host in hosts}


if __name__ == "__main__":
    main(*sys.argv[1:])

"""`python -P read_variables.py SOURCE COLLECTIONS` prints the names of Reconnect's variables in an inventory.

No value is resolved.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible.vars.manager import VariableManager

from reconnect.ansible import collection

#: Where the collection reads variables.
ROOMS = ("playbooks", "plugins", "roles")


def main(source: str, collections: str) -> None:
    """Prints `{"given": {variable: [host]}, "known": [variable]}`, or Ansible's sentence when it cannot read `source`.

    Known is what stands in one of the collection's rooms.
    """
    settings = collection.module(collections, "plugin_utils.settings")
    loader = DataLoader()
    given: dict[str, list[str]] = {}
    try:
        inventory = InventoryManager(loader=loader, sources=[source])
        variables = VariableManager(loader=loader, inventory=inventory)
        for name, host in inventory.hosts.items():
            for variable in variables.get_vars(host=host, include_hostvars=False):
                if variable.startswith(settings.PREFIX):
                    given.setdefault(variable, []).append(name)
    except AnsibleError as error:
        print(error)
        return
    known = {f"{settings.PREFIX}{name}" for name in settings.DEFAULTS}
    own = Path(collections, "ansible_collections/privatewave/reconnect")
    for file in (file for room in ROOMS for file in (own / room).rglob("*")):
        if file.suffix in (".py", ".yml"):
            text = file.read_text(encoding="utf-8", errors="replace")
            known.update(re.findall(rf"\b{settings.PREFIX}[a-z0-9_]+", text))
    print(json.dumps({"given": given, "known": sorted(known)}))


if __name__ == "__main__":
    main(*sys.argv[1:])

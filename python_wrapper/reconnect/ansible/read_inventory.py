"""`python -P read_inventory.py SOURCE` prints the names of an inventory's hosts and groups as JSON.

Lighter than `ansible-inventory --list`, which evaluates every variable, secrets and vaults included.
"""

from __future__ import annotations

import json
import sys

from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader


def main(source: str) -> None:
    """Prints `{"hosts": [name], "groups": {name: [host]}}`, or Ansible's sentence when it cannot read `source`."""
    try:
        manager = InventoryManager(loader=DataLoader(), sources=[source])
    except AnsibleError as error:
        print(error)
        return
    groups = {name: [host.name for host in group.get_hosts()] for name, group in manager.groups.items()}
    print(json.dumps({"hosts": list(manager.hosts), "groups": groups}))


if __name__ == "__main__":
    main(sys.argv[1])

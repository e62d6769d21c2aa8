# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON of strangers, as a filter for playbooks; its page is the file beside this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.privatewave.reconnect.plugins.module_utils._common import plain_json


def _plain_json(text: str) -> Any:
    # Ansible's own `from_json` takes objects with a key such as `__ansible_vault` for values of Ansible.
    try:
        # The bytes of a file that is no UTF-8 are escaped: JSON tells its own encoding.
        return plain_json(str(text).encode("utf-8", "surrogateescape"))
    except ValueError as error:
        raise AnsibleFilterError(f"This is not JSON: {error}.") from None


class FilterModule:
    """The filter `plain_json`."""

    def filters(self) -> dict[str, Callable[[str], Any]]:
        """The filter by its name."""
        return {"plain_json": _plain_json}

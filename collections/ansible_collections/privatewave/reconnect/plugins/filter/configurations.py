# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documents that configure clients, as a filter for playbooks; its page is the file beside this one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.privatewave.reconnect.plugins.module_utils._account.documents import RenderedDocument
from ansible_collections.privatewave.reconnect.plugins.plugin_utils import render
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import plain


def _configurations(
    accounts: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    names: Sequence[str] = render.DEFAULTS,
    folders: Sequence[str] = (),
) -> list[RenderedDocument]:
    try:
        return render.documents(plain(accounts), plain(settings), plain(names), plain(folders))
    except render.RenderError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The filter `configurations`."""

    def filters(self) -> dict[str, Callable[..., list[RenderedDocument]]]:
        """The filter by its name."""
        return {"configurations": _configurations}

# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Capture packets on a server. It goes on in the background, for which Ansible needs a folder on the server."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.answers import answer_of
from ansible_collections.privatewave.reconnect.plugins.plugin_utils.senders import making_folders

PACKET_CAPTURE = "privatewave.reconnect.packet_capture"


class ActionModule(ActionBase):
    """The action `packet_capture`, documented in plugins/modules/packet_capture.py."""

    TRANSFERS_FILES = False
    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        job = bool(self._task.async_val)
        with making_folders():
            answer = self._execute_module(
                module_name=PACKET_CAPTURE, module_args=dict(self._task.args), task_vars=task_vars or {}, wrap_async=job
            )
        return {**result, **answer_of(PACKET_CAPTURE, answer, job=job)}

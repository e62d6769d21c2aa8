# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option that tells a module what a server should be like."""

from __future__ import annotations


class ModuleDocFragment:
    """The settings of a server."""

    DOCUMENTATION = r"""
options:
  settings:
    description: The settings of the server, as M(privatewave.reconnect.gather) makes them of the inventory.
    type: dict
"""

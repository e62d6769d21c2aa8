# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module reaches the service."""

from __future__ import annotations


class ModuleDocFragment:
    """Where the service is, and the token."""

    DOCUMENTATION = r"""
options:
  url:
    description: Where C(reconnect serve) listens, such as V(https://reconnect.example.com).
    type: str
    required: true
  token:
    description: A token of C(reconnect tokens add).
    type: str
    required: true
  ca_path:
    description: The authorities that the service's certificate is verified by, a file in PEM; else those of the system.
    type: path
  limit_seconds:
    description: How long the service may take for an answer, in seconds.
    type: int
    default: 30
"""

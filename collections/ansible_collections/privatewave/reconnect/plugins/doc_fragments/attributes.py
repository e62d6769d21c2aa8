# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module promises of check mode, diff mode and a second call."""

from __future__ import annotations


class ModuleDocFragment:
    """Attributes; a module adds ``support``, and ``details`` where there is more to say."""

    DOCUMENTATION = r"""
attributes:
  check_mode:
    description: Can run in check mode. It tells what it would change, and changes nothing.
  diff_mode:
    description: Shows with C(--diff) what changes.
"""

    # Of modules that change nothing.
    READS = r"""
attributes:
  check_mode:
    description: Can run in check mode. It tells what it would change, and changes nothing.
    details: It changes nothing, so it runs the same in check mode.
    support: full
  diff_mode:
    description: Shows with C(--diff) what changes.
    details: It changes nothing.
    support: none
"""

    IDEMPOTENT = r"""
attributes:
  idempotent:
    description: A second call with the same options changes nothing.
"""

    # Of actions.
    ACTION = r"""
attributes:
  action:
    description: Runs on the control node.
    support: full
"""

# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence in, verdict out: pure functions, no I/O beyond reading the catalogue."""

from __future__ import annotations

from . import rules
from .catalogue import Cause, catalogue
from .evidence import Evidence, EvidenceError, fitted, prepare
from .first_level import triage
from .interrupted import take_up
from .verdict import check, conclude, doubt, judge, unconfirmed

__all__ = [
    "Cause",
    "Evidence",
    "EvidenceError",
    "catalogue",
    "check",
    "conclude",
    "doubt",
    "fitted",
    "judge",
    "prepare",
    "rules",
    "take_up",
    "triage",
    "unconfirmed",
]

# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the judge's tables: YAML files of rows by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

#: libyaml's loader, where PyYAML has it, is eight times as fast: every task that judges reads the tables.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class TableError(ValueError):
    """A table contradicts itself; the message names the row."""


def load(text: str) -> dict[str, Mapping[str, Any]]:
    """The rows of a table by name, in the order of the file. Raises `TableError` when a row has no fields."""
    rows = {str(name): row for name, row in yaml.load(text, Loader=_LOADER).items()}  # noqa: S506
    for name, row in rows.items():
        if not isinstance(row, Mapping):
            raise TableError(f"{name} has no fields")
    return rows

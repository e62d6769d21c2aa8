# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes of errors. The judge knows them, too, and loads no driver for them."""

from __future__ import annotations

#: A table's files are damaged: MariaDB and MySQL, PostgreSQL.
DAMAGED = ("1033", "1034", "1035", "1194", "1195", "1712", "1877", "1932", "XX001", "XX002", "58P01")

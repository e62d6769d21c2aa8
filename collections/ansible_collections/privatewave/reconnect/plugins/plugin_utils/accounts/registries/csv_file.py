# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts in a CSV file, as another program exports them."""

from __future__ import annotations

import codecs
import csv
import io
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..lines import Mistake, Node
from . import RegistryError, rows

FILE_LIMIT = 16 * 1024 * 1024


class Registry:
    """``{plugin: csv, path: accounts.csv, delimiter: ","}``: the first line names the columns, those of `rows`.

    An empty cell leaves the field at its default. It holds passwords as they are, so nobody else may read the file.
    """

    plain_secrets = True

    def __init__(self, configuration: Mapping[str, Any], inventory: str) -> None:
        self.file = Path(inventory) / str(configuration.get("path") or "accounts.csv")
        self.delimiter = str(configuration.get("delimiter") or ",")
        if len(self.delimiter) != 1:
            raise RegistryError("The delimiter of the account registry must be one character.")

    def documents(self) -> tuple[list[Node], list[Mistake]]:
        """A document for each group that the rows name."""
        name = self.file.name
        reader = csv.DictReader(io.StringIO(self._text(), newline=""), delimiter=self.delimiter, strict=True)
        found: list[tuple[str, dict[str, Any]]] = []
        mistakes: list[Mistake] = []
        try:
            unknown = [column for column in reader.fieldnames or [] if column not in rows.COLUMNS]
            mistakes += [Mistake(f"{name}:1", f"There is no column {column[:40]!r}.") for column in unknown]
            for row in reader:
                where = f"{name}:{reader.line_num}"
                if None in row:
                    mistakes.append(Mistake(where, "The row has more cells than the first line."))
                    continue
                found.append((where, {column: rows.value(column, cell) for column, cell in row.items() if cell}))
        except csv.Error as error:
            mistakes.append(Mistake(f"{name}:{reader.line_num}", f"It is no CSV: {error}."))
        return rows.documents(name, found), mistakes

    def _text(self) -> str:
        try:
            status = self.file.stat()
            if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise RegistryError(f"Others may read the passwords in {self.file}. Run: chmod 600 {self.file}")
            if status.st_size > FILE_LIMIT:
                raise RegistryError(f"The account registry {self.file} is larger than {FILE_LIMIT // 1024**2} MiB.")
            with self.file.open("rb") as opened:
                is_utf16 = opened.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            return self.file.read_text(encoding="utf-16" if is_utf16 else "utf-8-sig")
        except OSError as error:
            raise RegistryError(f"Cannot read the account registry {self.file}: {error.strerror}.") from None
        except UnicodeError:
            raise RegistryError(f"The account registry {self.file} is no UTF-8 text. Save it as UTF-8.") from None

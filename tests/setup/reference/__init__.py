# SPDX-License-Identifier: GPL-3.0-or-later
"""The generated pages of the documentation: ``docs/reference``, made by `make docs`.

Each module makes pages from one source: the API, the command line, the settings, the catalogue, the typed documents,
the plugins, the roles.
"""

from __future__ import annotations

from pathlib import Path

from reference import api, catalogue, command, documents, plugins, roles, settings

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "reference"


def pages() -> dict[str, str]:
    """Every generated file of ``docs/reference``: its name and its text."""
    made = (api, catalogue, command, documents, plugins, roles, settings)
    return {name: text for module in made for name, text in module.pages().items()}

# SPDX-License-Identifier: GPL-3.0-or-later
"""The description of the API as OpenAPI, from the service itself."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from reconnect.ansible.project import Project
from reconnect.service import app
from reconnect.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


def pages() -> dict[str, str]:
    """``openapi.json``."""
    with tempfile.TemporaryDirectory() as state:
        described = app.create(Project(ROOT), Settings(state_dir=Path(state))).openapi()
    return {"openapi.json": json.dumps(described, indent=2) + "\n"}

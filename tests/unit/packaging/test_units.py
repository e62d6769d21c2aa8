# SPDX-License-Identifier: GPL-3.0-or-later
"""The units of systemd."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from reconnect.settings import Settings

FOLDER = Path(__file__).parents[3] / "packaging" / "deb"


@pytest.mark.parametrize("unit", sorted(FOLDER.glob("*.service")), ids=lambda path: path.name)
def test_a_unit_uses_the_store_that_the_command_uses(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    assert "User=reconnect" in text
    # Whatever is set here, a command of the same user does not know.
    assert "Environment=RECONNECT_" not in text


@pytest.mark.parametrize("unit", ["reconnect.service", "reconnect-worker.service"])
def test_a_run_has_the_time_to_clean_up_when_the_service_stops(unit: str) -> None:
    (waits,) = re.findall(r"(?m)^TimeoutStopSec=(\d+)$", (FOLDER / unit).read_text(encoding="utf-8"))
    fields = (Settings.model_fields[name] for name in ("stop_seconds", "cleanup_seconds"))
    longest = sum(limit.le for field in fields for limit in field.metadata if hasattr(limit, "le"))
    assert int(waits) > longest

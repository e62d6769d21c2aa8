#!/usr/bin/env python3
"""Let a seeded mix of incidents call the service on the lab, and say how they end: ``make month``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from month.command import main

sys.exit(main())

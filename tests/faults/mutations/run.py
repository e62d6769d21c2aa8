#!/usr/bin/env python3
"""Draw mutations, apply each to a lab host, label, diagnose and revert it: ``make mutations``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutations.command import main

sys.exit(main())

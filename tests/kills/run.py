#!/usr/bin/env python3
"""Kill workers, service and database in the middle of runs, and say what became of the runs: ``make kills``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kills.command import main

sys.exit(main())

#!/usr/bin/env python3
"""Inject a seeded mix of faults and let the product fix what it may: ``make injected``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lab"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from injected.command import main

sys.exit(main())

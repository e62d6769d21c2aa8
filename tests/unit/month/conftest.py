"""Where the month's own modules are found, and the end-to-end tests' that it uses."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

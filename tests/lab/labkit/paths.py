"""Where things of the lab are."""

from pathlib import Path

LAB = Path(__file__).resolve().parent.parent
REPOSITORY = LAB.parent.parent
RECIPES = LAB / "hosts"
FAULTS = LAB.parent / "faults"
STATE = LAB / ".state"
CACHE = REPOSITORY / ".cache" / "lab"

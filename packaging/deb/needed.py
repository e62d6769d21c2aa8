"""Prints the part of a constraint file that the command itself needs, with the hashes: needed.py CONSTRAINTS"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name


def needed(name: str) -> set[str]:
    """The names of the installed packages that a package needs, and those that they need."""
    found: set[tuple[str, str]] = set()
    asked = [(name, "")]
    while asked:
        # The same package may be needed again with an extra.
        package, extra = asked.pop()
        for text in importlib.metadata.requires(package) or []:
            requirement = Requirement(text)
            known = canonicalize_name(requirement.name)
            if not requirement.marker or requirement.marker.evaluate({"extra": extra}):
                new = {(known, one) for one in ("", *requirement.extras)} - found
                found |= new
                asked += new
    return {str(package) for package, _extra in found}


def main() -> None:
    """Print the entries, each with its hashes."""
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    entries = re.finditer(r"(?m)^([\w.-]+)==.*\n(?:    --hash.*\n?)*", text)
    pinned = {str(canonicalize_name(entry[1])): entry[0] for entry in entries}
    print("".join(pinned[name] for name in sorted(needed("reconnect"))), end="")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""What the product is made of: each package is pinned with its hashes, and its licence goes with ours."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PINS = sorted((ROOT / "constraints").glob("*.txt"))
#: Those of the project's own environments.
OWN = [file for file in PINS if file.stem != "peers"]
#: A package, its version, where it is needed, and the hashes of all of its files.
PIN = re.compile(r"([A-Za-z0-9._-]+)==[^ ;]+(?: ; [^\\\n]+)?(?: \\\n    --hash=sha256:[0-9a-f]{64})+\n")

#: Licences (SPDX) of packages that may be used beside the GPL-3.0-or-later.
LICENCES = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "GPL-2.0-or-later",
    "GPL-3.0-or-later",
    "ISC",
    "LGPL-2.1-or-later",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "MIT",
    "MIT-0",
    "MPL-2.0",
    "PSF-2.0",
    "Unlicense",
}
#: What packages say that name no SPDX licence.
CLASSIFIERS = {
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-3.0-or-later",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def pinned(file: Path) -> list[str]:
    return PIN.findall(file.read_text())


def licence(package: str) -> str:
    """The licence of an installed package, as an SPDX expression."""
    metadata = importlib.metadata.metadata(package)
    if expression := metadata.get_all("License-Expression"):
        return str(expression[0])
    classifiers = [line.rpartition(" :: ")[2] for line in metadata.get_all("Classifier") or [] if "License ::" in line]
    named = [CLASSIFIERS[one] for one in classifiers if one in CLASSIFIERS]
    # Of several classifiers one may choose.
    [said, *_] = metadata.get_all("License") or ["none"]
    return " OR ".join(named) or CLASSIFIERS.get(said, said)


def is_allowed(expression: str) -> bool:
    """Whether what an SPDX expression asks for is allowed: all parts of an AND, one of an OR."""
    parts = expression.replace("(", "").replace(")", "").split(" AND ")
    return all(any(one.strip() in LICENCES for one in part.split(" OR ")) for part in parts)


@pytest.mark.parametrize("file", PINS, ids=lambda file: file.stem)
def test_every_pin_has_hashes_and_no_index_is_named(file: Path) -> None:
    comment, _, pins = file.read_text().partition("\n")
    assert comment.startswith("# ")
    # Nothing is in the file but pins.
    assert PIN.sub("", pins) == ""
    assert "://" not in pins
    assert len(pinned(file)) > (100 if file in OWN else 20)


@pytest.mark.parametrize("file", OWN, ids=lambda file: file.stem)
def test_every_dependency_is_pinned(file: Path) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    names = {name.lower() for name in re.findall(r"^[A-Za-z0-9._-]+", "\n".join(wanted), re.MULTILINE)}
    assert names - {name.lower() for name in pinned(file)} == set()


def test_every_licence_goes_with_ours() -> None:
    found = {package: licence(package) for package in pinned(ROOT / "constraints" / "python-3.11.txt")}
    assert {package: one for package, one in found.items() if not is_allowed(one)} == {}


def test_every_test_that_the_threat_model_names_is_there() -> None:
    model = (ROOT / "SECURITY.md").read_text()
    named = re.findall(r"^- \*\*.+\n .+\n `(\S+\.py)::(test_\w+)`$", model, re.MULTILINE)
    # Every entry has one.
    assert len(named) == model.count("\n- **") > 20
    for file, test in named:
        assert f"def {test}(" in (ROOT / "tests" / "unit" / file).read_text(), f"{file}::{test}"


@pytest.mark.parametrize(
    ("expression", "allowed"),
    [
        ("MIT", True),
        ("GPL-3.0-or-later AND BSD-2-Clause", True),
        ("Proprietary OR Apache-2.0", True),
        ("MIT AND Proprietary", False),
        ("none", False),
    ],
)
def test_a_licence_is_judged_by_its_parts(expression: str, allowed: bool) -> None:
    assert is_allowed(expression) is allowed

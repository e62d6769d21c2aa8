# SPDX-License-Identifier: GPL-3.0-or-later
"""What an execution environment gets for the collection is what the collection needs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import yaml
from ansible_builder._target_scripts import introspect
from ansible_builder.main import AnsibleBuilder
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
COLLECTION = ROOT / "collections" / "ansible_collections" / "privatewave" / "reconnect"
NAME = "privatewave.reconnect"
#: Of ansible-core itself, and what it needs.
WITH_ANSIBLE = {"ansible", "ansible_collections", "jinja2", "yaml"}
#: Packages whose module has another name.
MODULES = {"psycopg2-binary": "psycopg2"}
IMPORT = re.compile(r"^ *(?:import (\w+)|from (\w+)[\w.]* import )", re.MULTILINE)


def test_the_python_packages_are_those_that_plugins_import() -> None:
    meta = yaml.safe_load((COLLECTION / "meta" / "execution-environment.yml").read_text(encoding="utf-8"))
    named = {name: (COLLECTION / file).read_text(encoding="utf-8") for name, file in meta["dependencies"].items()}
    wanted = {Requirement(line).name.lower() for line in named["python"].splitlines() if not line.startswith("#")}
    files = [file for folder in ("plugins", "extensions") for file in (COLLECTION / folder).rglob("*.py")]
    pairs = [pair for file in files for pair in IMPORT.findall(file.read_text(encoding="utf-8"))]
    used = {name for pair in pairs for name in pair if name} - sys.stdlib_module_names - WITH_ANSIBLE
    assert {MODULES.get(name, name) for name in wanted} == used
    assert "openssh-client [platform:dpkg]" in named["system"].splitlines()


def test_ansible_builder_finds_what_the_collection_needs() -> None:
    found = introspect.process(data_dir=str(ROOT / "collections"))
    said = {kind: [line.split("#")[0].strip() for line in lines[NAME]] for kind, lines in found.items()}
    for kind, file in (("python", "requirements.txt"), ("system", "bindep.txt")):
        lines = (COLLECTION / file).read_text(encoding="utf-8").splitlines()
        assert said[kind] == [line for line in lines if not line.startswith("#")]


def test_ansible_builder_makes_a_context_with_the_collection(tmp_path: Path) -> None:
    """What a build takes: the definition has the schema of version 3, and the collection is where it is looked for."""
    definition = ROOT / "packaging" / "execution-environment.yml"
    assert AnsibleBuilder(action="create", filename=str(definition), build_context=str(tmp_path)).create()
    build = tmp_path / "_build"
    [wanted] = yaml.safe_load((build / "requirements.yml").read_text(encoding="utf-8"))["collections"]
    about = yaml.safe_load((build / wanted["name"] / "galaxy.yml").read_text(encoding="utf-8"))
    assert (f"{about['namespace']}.{about['name']}", wanted["type"]) == (NAME, "dir")
    assert (build / wanted["name"] / "meta" / "execution-environment.yml").is_file()
    assert "ansible-galaxy collection install" in (tmp_path / "Containerfile").read_text(encoding="utf-8")

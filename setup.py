"""Puts what Ansible runs into the package: a wheel finds its playbooks wherever it is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
#: What reconnect.ansible.project looks for, as it lies in the repository; links become files.
PARTS = ("ansible.cfg", "collections", "inventories/example", "playbooks", "plugins/callback")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "molecule", "changelogs", ".*", "*.tar.gz")


class BuildWithProject(build_py):
    """Copies the project beside the modules; an editable installation uses the repository itself."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        project = Path(self.build_lib, "reconnect", "project")
        shutil.rmtree(project, ignore_errors=True)
        for part in PARTS:
            source, target = ROOT / part, project / part
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=LEFT_OUT)
            else:
                shutil.copy(source, target)


setup(cmdclass={"build_py": BuildWithProject})

"""What the warm process works out beforehand is what Ansible works out itself."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import ansible.module_utils
import pytest
from ansible.executor import module_common
from ansible_collections.privatewave.reconnect.plugins import module_utils
from reconnect.ansible.warm import prepared

FOLDERS = [Path(package.__path__[0]) for package in (ansible.module_utils, module_utils)]


def imports(name: str, source: bytes) -> tuple[Any, Any]:
    """What Ansible says that a module imports, and what of it may be missing."""
    takes_tree = "tree" in inspect.signature(module_common.ModuleDepFinder).parameters
    given: Any = module_common._compile_module_ast(name, source) if takes_tree else source
    finder = module_common.ModuleDepFinder(name, given)
    return finder.submodules, finder.optional_imports


def test_a_module_is_packed_with_the_same_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {file: file.read_bytes() for folder in FOLDERS for file in sorted(folder.rglob("*.py"))}
    names = {file: f"ansible.module_utils.{file.stem}" for file in sources}
    found = {file: imports(names[file], source) for file, source in sources.items()}
    assert any(required for required, _ in found.values())
    assert any(optional for _, optional in found.values())
    monkeypatch.setattr(module_common, "compile", prepared.parsing(*FOLDERS), raising=False)
    assert {file: imports(names[file], source) for file, source in sources.items()} == found


def test_only_what_is_known_is_not_parsed_again(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("def one():\n    x = 1\n    import json\n    return json\n")
    (tmp_path / "broken.py").write_text("def\n")
    compiled = prepared.parsing(tmp_path)
    source = (tmp_path / "one.py").read_text()
    tree = compiled(source, "anywhere", "exec", ast.PyCF_ONLY_AST)
    assert compiled(source.encode(), "elsewhere", "exec", ast.PyCF_ONLY_AST) is tree
    assert ast.unparse(tree) == "def one():\n    import json"
    changed = compiled(source.replace("json", "yaml"), "anywhere", "exec", ast.PyCF_ONLY_AST)
    assert "return yaml" in ast.unparse(changed)
    assert compiled(source, "anywhere", "exec").co_filename == "anywhere"
    with pytest.raises(SyntaxError):
        compiled("def\n", "broken.py", "exec", ast.PyCF_ONLY_AST)

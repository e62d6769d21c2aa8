"""What Ansible works out of the same files again in each run, worked out once: the same content has the same result.

Nothing here knows a configuration: a run still finds its files by its own, and what it finds in another file, or in a
changed one, it works out itself.
"""

from __future__ import annotations

import ast
import contextlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, cast

#: What finds collections.
_FINDER = "ansible.utils.collection_loader._collection_finder"
#: What packs a module with all that it imports. It reads the configuration when it is loaded, so only a run loads it.
PACKER = "ansible.executor.module_common"
_COLLECTIONS = "ansible_collections"
#: Where the modules of a collection lie that plugins import.
_ROOMS = ("module_utils", "plugin_utils")
#: What some of them read when they are first asked.
_PREPARES = {"judge.catalogue": "catalogue", "judge.evidence": "prepare", "judge.outcomes": "endings"}


def prepare(collection: Path, loadable: Callable[[Sequence[str]], Sequence[str]]) -> None:
    """Has each run that is forked from this process find what is the same in all of them.

    `loadable` says which of some modules can be loaded without the configuration.
    """
    finder, ansible = sys.modules.get(_FINDER), importlib.util.find_spec("ansible")
    if finder is None or ansible is None or ansible.origin is None:
        return
    core = Path(ansible.origin).parent
    vars(finder)["compile"] = _compiling(collection)
    if (loader := vars(finder).get("_AnsibleCollectionPkgLoaderBase")) is not None:
        give(loader, loaded(collection, loadable))
    with contextlib.suppress(OSError, KeyError):
        _prepare_metadata(vars(finder), (core / "config" / "ansible_builtin_runtime.yml").read_bytes())
    plugins = collection / "plugins"
    compiled = parsing(core / "module_utils", plugins / "module_utils", plugins / "modules")
    sys.meta_path.insert(0, cast(Any, _Given(PACKER, compile=compiled)))


def loaded(collection: Path, loadable: Callable[[Sequence[str]], Sequence[str]]) -> dict[ModuleType, bytes]:
    """The modules of a collection that know no configuration, as they are once they were loaded, with their sources."""
    root, own = collection.parents[2], ".".join(collection.parts[-3:])
    sources = {
        ".".join(file.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): source
        for room in _ROOMS
        if own.startswith(f"{_COLLECTIONS}.")
        for file, source in _sources(collection / "plugins" / room)
    }
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(root))
    try:
        made = [importlib.import_module(name) for name in loadable(list(sources))]
        for module in made:
            if prepares := _PREPARES.get(module.__name__.removeprefix(f"{own}.plugins.plugin_utils.")):
                vars(module)[prepares]()
    finally:
        sys.path.remove(str(root))
        sys.dont_write_bytecode = writes
        for name in [name for name in sys.modules if name.partition(".")[0] == _COLLECTIONS]:
            del sys.modules[name]
        for path in [path for path in sys.path_importer_cache if Path(path).is_relative_to(root)]:
            del sys.path_importer_cache[path]
    return {module: sources[module.__name__] for module in made}


def give(loader: Any, made: Mapping[ModuleType, bytes]) -> None:
    """Has a loader of Ansible's take the module that was made of the same file with the same content."""
    execute, known = loader.exec_module, {(one.__name__, one.__file__): one for one in made}

    def exec_module(self: Any, module: ModuleType) -> None:
        name = module.__name__
        found = known.get((name, module.__file__))
        if found is None or self.get_source(name) != made[found]:
            execute(self, module)
            return
        vars(found).update({name: value for name, value in vars(module).items() if name.startswith("__")})
        # Whoever imports it gets what stands here once its code has run.
        sys.modules[name] = found

    loader.exec_module = exec_module


def _compiling(collection: Path) -> Callable[..., Any]:
    """A `compile` for the sources of a collection, which Ansible compiles in each run."""
    known = {}
    for file, source in _sources(collection):
        with contextlib.suppress(SyntaxError, ValueError):
            known[str(file), source] = compile(source, str(file), "exec", 0, True)
    return _asking(lambda content, filename: known.get((filename, content)), 0, True)


def parsing(*folders: Path) -> Callable[..., Any]:
    """A `compile` for the sources that modules import, which Ansible parses for each module to find what they import.

    Of functions and classes only the imports are left: whole trees would take many times the room.
    """
    known = {}
    for folder in folders:
        for file, source in _sources(folder):
            with contextlib.suppress(SyntaxError, ValueError):
                known[source] = tree = ast.parse(source, str(file))
                for node in tree.body:
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                        node.body = [one for one in ast.walk(node) if isinstance(one, ast.Import | ast.ImportFrom)]
    return _asking(lambda content, _: known.get(content), ast.PyCF_ONLY_AST, False)


def _asking(known: Callable[[bytes, Any], Any], flags: int, dont_inherit: bool) -> Callable[..., Any]:
    """A `compile` that first asks what is known of a file's content, where it is called as Ansible calls it."""
    called = ("exec", flags, dont_inherit)

    def compiled(source: Any, filename: Any, mode: str, flags: int = 0, dont_inherit: bool = False) -> Any:
        if (mode, flags, dont_inherit) == called:
            content = source.encode() if isinstance(source, str) else source
            if (found := known(content, filename)) is not None:
                return found
        return compile(source, filename, mode, flags, dont_inherit)

    return compiled


def _prepare_metadata(finder: dict[str, Any], source: bytes) -> None:
    """Where Ansible's own plugins went: a file of 10,000 lines, which Ansible reads in each run."""
    read = finder["_meta_yml_to_dict"]
    known = read(source, ("ansible.builtin", "runtime.yml"))
    finder["_meta_yml_to_dict"] = lambda content, name: known if content == source else read(content, name)


def _sources(folder: Path) -> Iterator[tuple[Path, bytes]]:
    for file in sorted(folder.rglob("*.py")):
        with contextlib.suppress(OSError):
            yield file, file.read_bytes()


class _Given:
    """Gives a module some names of its own before its code runs."""

    def __init__(self, module: str, **names: Any) -> None:
        self._module, self._names = module, names

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != self._module:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                vars(module).update(self._names)
                run(module)

            vars(spec.loader)["exec_module"] = exec_module
        return spec

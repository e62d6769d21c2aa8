"""Modules of the collection, for who is not run by Ansible. It loads nothing else: programs beside it need no more."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

_PLUGINS = "ansible_collections.privatewave.reconnect.plugins"


def module(collections: str, name: str) -> ModuleType:
    """The module `name` of the plugins in the folder `collections`. Raises ImportError."""
    if collections not in sys.path:
        sys.path.insert(0, collections)
    package = importlib.import_module("ansible_collections")
    # Where Ansible's own collections are installed, that package hides ours.
    if (own := os.path.join(collections, "ansible_collections")) not in package.__path__:
        package.__path__.append(own)
    return importlib.import_module(f"{_PLUGINS}.{name}")

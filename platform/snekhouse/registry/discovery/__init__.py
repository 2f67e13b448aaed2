"""Discovery: find the interpreters of this host and the files that each of them needs, and write a registry for them.

Start with `interpreters`; `rooted` does the same for another root, and `writing` renders the registry.
"""

from snekhouse.registry.discovery.interpreters import Interpreter, find_interpreter, find_interpreters
from snekhouse.registry.discovery.rooted import candidates_in_root
from snekhouse.registry.discovery.writing import render_registry, render_runtime, write_registry

__all__ = [
    "Interpreter",
    "candidates_in_root",
    "find_interpreter",
    "find_interpreters",
    "render_registry",
    "render_runtime",
    "write_registry",
]

"""Imports point one way, and `platform` stays the standard library's."""

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]
_PACKAGE = _ROOT / "platform" / "snekhouse"
LAYERS = (
    "cli", "server", "web", "service", "judging", "packages", "jail", "profile", "host", "evaluation", "image", "registry",
    "errors",
)  # fmt: skip
_TOOLS = {"assets", "backoff", "escaping", "shortening", "waiting"}
"""What imports nothing of ours, and may be imported by all."""

_BESIDE = {"__init__", "__main__", *_TOOLS}
"""Not layers: the package, its entry point, and tools."""

_MODULES = sorted(path for path in _PACKAGE.rglob("*.py") if "playground" not in path.parts)  # those are examples


def _layer(module: Path) -> str:
    return module.relative_to(_PACKAGE).parts[0].removesuffix(".py")


def _imports(module: Path) -> Iterator[str]:
    """Name every module that a module imports, wherever in it; relative imports by their full name."""
    here = ("snekhouse", *module.relative_to(_PACKAGE).with_suffix("").parts)
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (*here[: -node.level], node.module or "") if node.level else (node.module or "",)
            yield from (".".join((*filter(None, base), alias.name)) for alias in node.names)


def _imported_layers(module: Path) -> set[str]:
    names = (name.split(".") for name in _imports(module))
    return {parts[1] for parts in names if parts[0] == "snekhouse" and len(parts) > 1}


def test_every_module_has_a_layer() -> None:
    assert {_layer(module) for module in _MODULES} == {*LAYERS, *_BESIDE}


@pytest.mark.parametrize("module", _MODULES, ids=lambda module: str(module.relative_to(_PACKAGE)))
def test_a_module_imports_from_its_own_layer_and_those_below(module: Path) -> None:
    layer = _layer(module)
    if layer in _TOOLS:
        assert not _imported_layers(module)
    elif layer in LAYERS:
        assert _imported_layers(module) <= {*LAYERS[LAYERS.index(layer) :], *_TOOLS}


@pytest.mark.parametrize("module", _MODULES, ids=lambda module: str(module.relative_to(_PACKAGE)))
def test_host_code_does_not_import_the_guest(module: Path) -> None:
    assert not {name.split(".")[0] for name in _imports(module)} & {"runtimes", "bootstrap"}


def test_modules_import_each_other_without_cycles() -> None:
    names = {_name(module): module for module in _MODULES}
    graph = {
        name: {_module_of(each, names) for each in _imports(module)} - {name, None} for name, module in names.items()
    }
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules


def _name(module: Path) -> str:
    return ".".join(("snekhouse", *module.relative_to(_PACKAGE).with_suffix("").parts))


def _module_of(imported: str, names: Mapping[str, Path]) -> str | None:
    """Find the module that an import leads to, which may name something in it; None for those of others."""
    parts = imported.split(".")
    found = (".".join(parts[:count]) for count in range(len(parts), 1, -1))
    return next((name for each in found for name in (each, f"{each}.__init__") if name in names), None)


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def test_no_two_modules_define_the_same_public_name() -> None:
    places: dict[str, list[str]] = {}
    for module in _MODULES:
        for node in ast.parse(module.read_text()).body:
            if isinstance(node, _DEFINITIONS) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(_name(module))
    assert {name: modules for name, modules in places.items() if len(modules) > 1} == {}


def test_the_source_root_is_no_package() -> None:
    assert not (_ROOT / "platform" / "__init__.py").exists()


def test_platform_is_the_standard_module_in_the_top_of_a_checkout() -> None:
    code = "import platform; print(platform.__file__)"
    found = subprocess.run([sys.executable, "-c", code], cwd=_ROOT, capture_output=True, text=True, check=True)
    assert not Path(found.stdout.strip()).is_relative_to(_ROOT / "platform")
    assert Path(found.stdout.strip()).name == "platform.py"

"""Which names are those of modules, in a folder of packages."""

import shutil
from pathlib import Path

import anyio
import pytest

from snekhouse.jail.import_counts import ImportCounts
from snekhouse.packages.modules import PackageModules

MODULES = ["frame", "frame.core", "frame.core.fast", "alone", "compiled", "old"]
OTHERS = ["frame.DataFrame", "frame.core.nothing", "alone.value", "alone.py", "frame-1.0", "..", "/etc", "", "frame."]


@pytest.fixture
def modules(tmp_path: Path) -> PackageModules:
    for path in (
        "frame/__init__.py",
        "frame/core/__init__.py",
        "frame/core/fast.cpython-314-x86_64-linux-gnu.so",
        "alone.py",
        "compiled.abi3.so",
        "old.pyc",
        "frame-1.0.dist-info/METADATA",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return PackageModules(tmp_path, 0)


def test_files_and_folders_are_modules_and_nothing_else_is(modules: PackageModules) -> None:
    assert [name for name in MODULES + OTHERS if name in modules] == MODULES
    assert [name for name in MODULES + OTHERS if name in modules] == MODULES  # as remembered


def test_however_many_names_programs_choose_each_folder_is_listed_once(modules: PackageModules) -> None:
    assert "frame.nothing" not in modules
    shutil.rmtree(modules.folder)
    assert not any(f"frame.x{number}" in modules for number in range(1000))
    assert "frame.core" in modules


def test_a_folder_that_is_missing_has_no_modules(tmp_path: Path) -> None:
    assert "frame" not in PackageModules(tmp_path / "none", 0)


def test_what_is_imported_from_a_module_is_set_aside_only_if_it_is_a_module(modules: PackageModules) -> None:
    import_counts = ImportCounts()
    import_counts.begin(modules)
    for _ in range(2):
        import_counts.note(["frame", "frame.DataFrame", "frame.core", "own"])
    assert set(anyio.run(import_counts.more_wanted, ())) == {"frame", "frame.core"}

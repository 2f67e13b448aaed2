"""Which modules a program probably imports, by its text."""

import time

import pytest

from snekhouse.evaluation import COLOR_VARIABLES, File, Job
from snekhouse.registry.models import Limits
from snekhouse.service.imports import imports_of


def found(
    *args: str | bytes, files: dict[str, bytes] | None = None, env: dict[str, str] | None = None
) -> set[str] | None:
    given = tuple(File(path, content) for path, content in (files or {}).items())
    names = imports_of(Job(args, Limits(), given, env=env or {}))
    return None if names is None else set(names)


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("import numpy", {"numpy"}),
        ("import numpy as np, pandas.io", {"numpy", "pandas.io"}),
        ("from a.b import c as d, e", {"a.b", "a.b.c", "a.b.e"}),
        ("from a import (\n  b,\n  c\n)\nimport d", {"a", "a.b", "a.c", "d"}),
        ("x = 1; import a\nif x: import b\n\tfrom c import *", {"a", "b", "c"}),
        ("from . import a\nfrom .b import c", set()),
        ("import a.b.c.d.e.f", {"a.b.c.d"}),
        ("print('import')", set()),
        ("# import a\nimport b  # import c", {"b"}),
        (" " * (1 << 13) + "\nimport a", set()),
    ],
)
def test_names_are_found(code: str, names: set[str]) -> None:
    assert found("-c", code) == names
    assert found(b"-c", code.encode()) == names
    assert found("main.py", files={"main.py": code.encode()}) == names


def test_a_program_without_the_word_imports_nothing() -> None:
    assert found("-c", "print(1)") is None
    assert found("main.py", files={"main.py": b"print(1)", "data.txt": b"import a"}) is None
    assert found("-c", " " * (1 << 16) + "import a") is None


def test_many_texts_cost_no_more_than_a_few() -> None:
    names = [f"import {','.join(f'a{number}_{n}' for n in range(1000))}" for number in range(1000)]
    begin = time.monotonic()
    assert len(found("-c", *names) or ()) <= 1000
    assert len(found("main.py", files={f"{n}.py": text.encode() for n, text in enumerate(names)}) or ()) <= 1000
    assert len(found(*["-m", "x" * 10_000] * 10_000) or ()) <= 1000
    assert time.monotonic() - begin < 1


def test_a_module_that_is_run_is_imported() -> None:
    assert found("-m", "json.tool") == {"json.tool"}


def test_variables_of_a_request_hide_the_names_since_packages_may_read_them() -> None:
    assert found("-c", "import a", env={"X": "1"}) == set()
    assert found("-c", "import a", env=COLOR_VARIABLES[False]) == set()


def test_colours_hide_no_names_since_packages_do_not_read_their_variable() -> None:
    assert found("-c", "import a", env=COLOR_VARIABLES[True]) == {"a"}

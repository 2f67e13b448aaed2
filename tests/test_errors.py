"""The tree of errors: what its picture shows is what the code has."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import snekhouse
from snekhouse import errors

_BRANCH = re.compile(r"^    ((?:[│ ]   )*)[├└]── (\w+)", re.MULTILINE)


def _drawn() -> Iterator[tuple[str, str]]:
    """Read each error and its parent from the picture."""
    parents = ["SnekhouseError"]
    for indent, name in _BRANCH.findall(str(errors.__doc__)):
        depth = len(indent) // 4 + 1
        yield name, parents[depth - 1]
        parents[depth:] = [name]


def _defined() -> Iterator[type[Exception]]:
    """Import every module; name the public exceptions that they define, the root aside."""
    names = [module.name for module in pkgutil.walk_packages(snekhouse.__path__, "snekhouse.")]
    for name in [each for each in names if not each.endswith("__main__")]:
        for _, found in inspect.getmembers(importlib.import_module(name), inspect.isclass):
            is_own = found.__module__ == name and not found.__name__.startswith("_")
            if is_own and issubclass(found, Exception) and found is not errors.SnekhouseError:
                yield found


def test_the_docstring_draws_every_public_error_below_its_parent() -> None:
    assert sorted(_drawn()) == sorted(
        (each.__name__, str(each.__base__ and each.__base__.__name__)) for each in _defined()
    )

"""Files that ship with snekhouse but are not modules of this package: the code of runtimes, and templates."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

_PACKAGE = Path(__file__).resolve().parent
_CHECKOUT = _PACKAGE.parents[1]


def asset(name: str) -> Path:
    """Find a file or folder that ships with snekhouse.

    A checkout (editable install) has them at its top level; a wheel contains them as package data.

    Args:
        name: Path relative to the top of the checkout, e.g. ``templates/nsjail``.

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    for root in (_PACKAGE / "_assets", _CHECKOUT):
        if (root / name).exists():
            return root / name
    raise FileNotFoundError(f"{name} is missing from this installation of snekhouse: install snekhouse again")


@cache
def templates(folder: str, **options: Any) -> jinja2.Environment:
    """Load the templates that ship with snekhouse; rendering fails where a variable is missing.

    Args:
        folder: Their folder, e.g. ``nsjail``.
        options: More options of `jinja2.Environment`.
    """
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(asset(f"templates/{folder}")),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - no HTML here; `finalize` escapes values from outside
        keep_trailing_newline=True,
        **options,
    )

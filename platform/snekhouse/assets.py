"""Files that ship with snekhouse but are not modules of this package: the code of runtimes, and templates."""

from pathlib import Path

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

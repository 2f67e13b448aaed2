"""Types of values in a registry: sizes, names, paths, and their validation.

Each validation error has its own type, by which `mistakes` finds the message.
"""

import posixpath
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, NoReturn

from pydantic import AfterValidator, BeforeValidator, ByteSize, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

_MAX_BYTES = (1 << 63) - 1  # the maximum of off_t
_MAX_COUNT = (1 << 31) - 1  # int
_MAX_PORT = 0xFFFF
_MAX_UID = (1 << 32) - 2  # (uid_t) -1 means "no user": chown(2)
_MAX_UIDS = 1 << 16

_SIZE = re.compile(r"\s*[0-9_]*\.?[0-9]+\s*(?:(?:[kKMGTPE]i?)?B)?\s*")
"""A number with a unit in bytes. pydantic also accepts "64Mb" and "64m", which are ambiguous."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_BIND = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_HOST = re.compile(r"\*|(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_RELEASE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:(?:a|b|rc)[0-9]+)?")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*(?:@sha256:[0-9a-f]{64})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _refuse(kind: str) -> NoReturn:
    raise PydanticCustomError(kind, kind)  # `mistakes` has the message


def _must(holds: Callable[[str], object], kind: str) -> AfterValidator:
    """Make a validator that refuses a text for which `holds` is false."""
    return AfterValidator(lambda text: text if holds(text) else _refuse(kind))


def _written_as_size(size: object) -> object:
    if isinstance(size, bool) or not isinstance(size, int | str):
        _refuse("size")
    if isinstance(size, int) and size <= 0:
        _refuse("not_positive")
    if isinstance(size, str) and re.match(r"\s*-\s*[0-9]", size):
        _refuse("not_positive")
    if isinstance(size, str) and not _SIZE.fullmatch(size):
        _refuse("size")
    return size


def _size_in_range(size: ByteSize) -> ByteSize:
    if size <= 0:
        _refuse("not_positive")
    if size > _MAX_BYTES:
        _refuse("too_many_bytes")
    return size


def _absolute(path: str) -> str:
    if "\0" in path:
        _refuse("null_byte")
    if not path.startswith("/"):
        _refuse("relative_path")
    if ".." in path.split("/"):
        _refuse("parent_in_path")
    return path


def as_table(value: object) -> dict[str, Any]:
    """Return a value of a parsed file if it is a table, else an empty table."""
    return value if isinstance(value, dict) else {}


def normal_path(path: str) -> str:
    """Return a path without doubled or trailing slashes and without ``.``, so that equal paths compare equal.

    Args:
        path: An absolute path without ``..``.
    """
    return posixpath.normpath("/" + path.lstrip("/"))  # normpath keeps a leading "//", as POSIX allows


def _form_of_preload(modules: object) -> str | None:
    """Return which form of `preload` a value has; pydantic puts it into the location of errors."""
    return "[auto]" if modules == AUTO else "[list]" if isinstance(modules, list | tuple) else None


def _range(ids: tuple[int, ...]) -> tuple[int, ...]:
    match ids:
        case (first, last) if first < last < first + _MAX_UIDS:
            return ids
        case _:
            _refuse("range")


Size = Annotated[ByteSize, BeforeValidator(_written_as_size), AfterValidator(_size_in_range)]
"""Bytes: a whole number, or a string such as "64MiB"."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""Seconds, or a number of CPUs."""

Count = Annotated[int, Field(gt=0, le=_MAX_COUNT)]
CountOrZero = Annotated[int, Field(ge=0, le=_MAX_COUNT)]

UidRange = Annotated[tuple[Annotated[int, Field(ge=1, le=_MAX_UID)], ...], Field(strict=False), AfterValidator(_range)]
"""The first id and the last; root's id 0 is not allowed."""

Name = Annotated[str, _must(_NAME.fullmatch, "name")]
"""Name of a runtime, which URLs and file names contain."""

AbsolutePath = Annotated[str, AfterValidator(_absolute)]
"""A path that is kept as it is written: clients name an executable by exactly this string."""

MountPath = Annotated[AbsolutePath, AfterValidator(normal_path)]
RootPath = Annotated[MountPath, _must(lambda root: root != "/", "host_root")]
Bind = Annotated[str, _must(lambda address: (found := _BIND.fullmatch(address)) and int(found[2]) <= _MAX_PORT, "bind")]

HostName = Annotated[str, _must(_HOST.fullmatch, "host")]
"""Name of a server; a leading ``*.`` stands for all names below it, and ``*`` alone for any name."""

Origin = Annotated[str, _must(_ORIGIN.fullmatch, "origin")]
"""Origin of a web page, as browsers send it (RFC 6454)."""

Release = Annotated[str, _must(_RELEASE.fullmatch, "version")]
ModuleName = Annotated[str, _must(lambda name: all(map(str.isidentifier, name.split("."))), "module_name")]

AUTO: Literal["auto"] = "auto"

Preload = Annotated[
    Annotated[Literal["auto"], Tag("[auto]")] | Annotated[tuple[ModuleName, ...], Field(strict=False), Tag("[list]")],
    Discriminator(_form_of_preload, custom_error_type="preload", custom_error_message="preload"),
]
"""Modules to import ahead, or `AUTO`."""

ImageName = Annotated[str, _must(_IMAGE.fullmatch, "image_name")]
Sha256 = Annotated[str, _must(_SHA256.fullmatch, "sha256")]
EnvName = Annotated[str, _must(lambda name: name and "=" not in name and "\0" not in name, "env_name")]
EnvValue = Annotated[str, _must(lambda value: "\0" not in value, "null_byte")]

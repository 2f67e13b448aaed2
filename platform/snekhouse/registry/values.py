"""The kinds of values a registry holds: sizes, names, paths, and what each refuses.

What they raise has a type of its own, by which `mistakes` finds the words for people.
"""

import posixpath
import re
from typing import Annotated, NoReturn

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field
from pydantic_core import PydanticCustomError

_MOST_BYTES = (1 << 63) - 1  # off_t and the like
_MOST_THINGS = (1 << 31) - 1  # int
_MOST_PORTS = 0xFFFF
_LAST_UID = (1 << 32) - 2  # the one above means "none"
_MOST_UIDS = 1 << 16

_SIZE = re.compile(r"\s*[0-9_]*\.?[0-9]+\s*(?:(?:[kKMGTPE]i?)?B)?\s*")
"""A number with a unit in bytes: pydantic takes "64Mb" and "64m" as well, which people mean in different ways."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_BIND = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):([0-9]{1,5})")
_HOST = re.compile(r"\*|(?:\*\.)?[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_RELEASE = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:(?:a|b|rc)[0-9]+)?")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]*(?:@sha256:[0-9a-f]{64})?")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def _refuse(kind: str) -> NoReturn:
    raise PydanticCustomError(kind, kind)  # the words stand in `mistakes`


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
    if size > _MOST_BYTES:
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


def normal_path(path: str) -> str:
    """Write an absolute path without doubled or trailing slashes and without ``.``, so that equal ones compare equal.

    Args:
        path: An absolute path without ``..``.
    """
    return posixpath.normpath("/" + path.lstrip("/"))  # normpath keeps a leading "//", as POSIX has it


def _not_the_hosts(root: str) -> str:
    if root == "/":
        _refuse("host_root")
    return root


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        _refuse("name")
    return name


def _bind(address: str) -> str:
    found = _BIND.fullmatch(address)
    if not found or int(found[2]) > _MOST_PORTS:
        _refuse("bind")
    return address


def _host(name: str) -> str:
    if not _HOST.fullmatch(name):
        _refuse("host")
    return name


def _origin(origin: str) -> str:
    if not _ORIGIN.fullmatch(origin):
        _refuse("origin")
    return origin


def _range(ids: tuple[int, ...]) -> tuple[int, ...]:
    match ids:
        case (first, last) if first < last < first + _MOST_UIDS:
            return ids
        case _:
            _refuse("range")


def _version(version: str) -> str:
    if not _RELEASE.fullmatch(version):
        _refuse("version")
    return version


def _sha256(digest: str) -> str:
    if not _SHA256.fullmatch(digest):
        _refuse("sha256")
    return digest


def _image_name(name: str) -> str:
    if not _IMAGE.fullmatch(name):
        _refuse("image_name")
    return name


def _module_name(name: str) -> str:
    if not all(part.isidentifier() for part in name.split(".")):
        _refuse("module_name")
    return name


def _env_name(name: str) -> str:
    if not name or "=" in name or "\0" in name:
        _refuse("env_name")
    return name


def _without_null(value: str) -> str:
    if "\0" in value:
        _refuse("null_byte")
    return value


Size = Annotated[ByteSize, BeforeValidator(_written_as_size), AfterValidator(_size_in_range)]
"""Bytes: a whole number, or a string such as "64MiB"."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
"""Seconds, or CPUs."""

Count = Annotated[int, Field(gt=0, le=_MOST_THINGS)]
CountOrNone = Annotated[int, Field(ge=0, le=_MOST_THINGS)]

UidRange = Annotated[tuple[Annotated[int, Field(ge=1, le=_LAST_UID)], ...], Field(strict=False), AfterValidator(_range)]
"""The first id and the last, which is the fork servers'; never root's."""

Name = Annotated[str, AfterValidator(_name)]
"""Of a runtime; it stands in URLs and file names."""

AbsolutePath = Annotated[str, AfterValidator(_absolute)]
"""Kept as it is written: clients name executables by the very string."""

MountPath = Annotated[AbsolutePath, AfterValidator(normal_path)]
RootPath = Annotated[MountPath, AfterValidator(_not_the_hosts)]
Bind = Annotated[str, AfterValidator(_bind)]

HostName = Annotated[str, AfterValidator(_host)]
"""Of a server; ``*.`` before it stands for all names below it, and ``*`` alone for any."""

Origin = Annotated[str, AfterValidator(_origin)]
"""Of a web page, as browsers send it (RFC 6454)."""

Release = Annotated[str, AfterValidator(_version)]
ModuleName = Annotated[str, AfterValidator(_module_name)]
ImageName = Annotated[str, AfterValidator(_image_name)]
Sha256 = Annotated[str, AfterValidator(_sha256)]
EnvName = Annotated[str, AfterValidator(_env_name)]
EnvValue = Annotated[str, AfterValidator(_without_null)]

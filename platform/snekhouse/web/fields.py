"""Types of strings in a request, which may have been taken out of a large body while it arrived (`Outline`)."""

import posixpath
from collections.abc import Container, Iterable, Iterator
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Discriminator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from snekhouse.web.long_string import LongString, decode_base64


def _long_string(value: object, info: ValidationInfo) -> LongString | None:
    """Return the long string for which `value` stands in an outline; None if `value` is the string itself."""
    return info.context.get(value) if info.context and isinstance(value, str) else None


_FORMS: dict[type, str] = {dict: "[object]", int: "[number]", float: "[number]", list: "[list]", tuple: "[list]"}
"""Tags for the members of a union, by the type of a value in JSON. They stand in the locations of errors."""


def one_of(words: Container[object] | None, expected: str) -> Discriminator:
    """Choose the member of a union by the form of a value, so that one error names all forms.

    Args:
        words: The strings that the member with the tag ``[word]`` allows; None for all. The other members have a tag of
            `_FORMS`.
        expected: What the error says that the value should be.
    """

    def form(value: object) -> str | None:
        if isinstance(value, str):
            return "[word]" if words is None or value in words else None
        return _FORMS.get(type(value))

    return Discriminator(form, custom_error_type="form", custom_error_message=f"Input should be {expected}")


def keys_of(location: Iterable[int | str]) -> Iterator[str]:
    """List the keys of a location, without the tags that `one_of` adds."""
    tags = {"[word]", *_FORMS.values()}
    return (str(part) for part in location if part not in tags)


INVALID_FILE = "invalid_file"
"""Type of the error for a file that fits the schema but cannot be written."""


def invalid_file(reason: str) -> PydanticCustomError:
    """Make the error for a file that cannot be written; a validator raises it."""
    return PydanticCustomError(INVALID_FILE, "{reason}", {"reason": reason})


def _from_base64(value: object, info: ValidationInfo) -> object:
    long = _long_string(value, info)
    if not isinstance(value, str):
        return value  # pydantic refuses it
    try:
        return long.base64() if long else decode_base64(value)
    except ValueError as error:
        raise invalid_file(str(error)) from None


def _to_utf8(value: object, info: ValidationInfo) -> object:
    if long := _long_string(value, info):
        return long.utf8()
    if not isinstance(value, str):
        raise PydanticCustomError("string_type", "Input should be a valid string")
    return value.encode()


Base64 = Annotated[
    bytes,
    BeforeValidator(_from_base64),
    WithJsonSchema({"type": "string", "contentEncoding": "base64", "description": "Base64 of the bytes."}),
]

Utf8 = Annotated[bytes, BeforeValidator(_to_utf8), WithJsonSchema({"type": "string"})]
"""Text as UTF-8. In a `str`, one character beyond the Basic Multilingual Plane makes all others four bytes large."""

_MAX_PATH = 4096
"""Bytes of a path: PATH_MAX (limits.h)."""

_ESCAPED = len("\\u0000")


def _short(value: object, info: ValidationInfo) -> object:
    """Return the text itself, unless it is longer than a path may be."""
    long = _long_string(value, info)
    if long and long.size <= _MAX_PATH * _ESCAPED:
        value = long.utf8().decode()
    elif long:
        raise ValueError(_TOO_LONG)
    if isinstance(value, str) and len(value.encode()) > _MAX_PATH:
        raise ValueError(_TOO_LONG)
    return value


_TOO_LONG = f"must have at most {_MAX_PATH} bytes"

Short = Annotated[str, BeforeValidator(_short)]
"""Text that is not longer than a path may be."""


_MAX_LEVELS = 100
"""Names in the path of a file; files are collected to the same depth."""


def below_home(path: str) -> str:
    """Return a path unchanged, if a file can have it.

    Raises:
        ValueError: It leads out of the home, is the home, or cannot be a path.
    """
    if path.startswith("/") or "\0" in path or "\\0" in path:
        raise ValueError("must be a relative path, without null bytes and without \\0")
    names = posixpath.normpath(path).split("/")
    if names[0] in {".", ".."}:
        raise invalid_file("must be below the home, and not the home itself")
    if len(names) > _MAX_LEVELS:
        raise invalid_file(f"must have at most {_MAX_LEVELS} names")
    return path


FilePath = Annotated[Short, AfterValidator(below_home)]
"""Path of a file below the home."""


def _without_null(value: str) -> str:
    if "\0" in value:
        raise ValueError("must not contain null bytes")
    return value


EnvValue = Annotated[Short, AfterValidator(_without_null)]
"""Value of an environment variable."""

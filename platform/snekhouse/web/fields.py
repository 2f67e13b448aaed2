"""Texts of a request: as they stand in it, or taken out of a large body while it arrived (`Outline`)."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

from snekhouse.web.long_string import LongString, decode_base64


def _long_string(value: object, info: ValidationInfo) -> LongString | None:
    """Find what was taken out of a large body where `value` stands now (`Outline`)."""
    return info.context.get(value) if info.context and isinstance(value, str) else None


INVALID_FILE = "invalid_file"
"""The type of errors of a file that fits the schema and cannot be written."""


def invalid_file(reason: str) -> PydanticCustomError:
    """Make the error of a file that cannot be written, for a validator to raise."""
    return PydanticCustomError(INVALID_FILE, "{reason}", {"reason": reason})


def _from_base64(value: object, info: ValidationInfo) -> object:
    long = _long_string(value, info)
    if not isinstance(value, str):
        return value  # for pydantic to refuse
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

_PATH_BYTES = 4096
"""Of a path: PATH_MAX (limits.h)."""

_ESCAPED = len("\\u0000")


def _short(value: object, info: ValidationInfo) -> object:
    """Put back what was taken out, unless it is longer than any path."""
    long = _long_string(value, info)
    if long and long.size <= _PATH_BYTES * _ESCAPED:
        value = long.utf8().decode()
    elif long:
        raise ValueError(_TOO_LONG)
    if isinstance(value, str) and len(value.encode()) > _PATH_BYTES:
        raise ValueError(_TOO_LONG)
    return value


_TOO_LONG = f"must have at most {_PATH_BYTES} bytes"

Short = Annotated[str, BeforeValidator(_short)]
"""Text of no more bytes than a path may have."""


def _without_null(value: str) -> str:
    if "\0" in value:
        raise ValueError("must have no null bytes")
    return value


EnvValue = Annotated[Short, AfterValidator(_without_null)]
"""Of a variable of the environment."""

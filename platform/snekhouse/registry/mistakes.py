"""Pydantic's findings in the words of the person who wrote the file."""

import difflib
import re
import types
from collections.abc import Iterator, Sequence
from copy import deepcopy
from itertools import takewhile
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from snekhouse.errors import Problem

_SIZE_REMEDY = 'write a number of bytes, or a size such as "64MiB"'

_REMEDIES = {
    "greater_than": "write a larger number",
    "greater_than_equal": "write a larger number",
    "byte_size": _SIZE_REMEDY,
    "byte_size_unit": _SIZE_REMEDY,
    "missing": "add it",
    "bool_type": "write true or false",
    "int_type": "write a whole number",
    "float_type": "write a number",
    "finite_number": "write a finite number",
    "string_type": "put it in quotes",
    "tuple_type": "write a list: [...]",
    "dict_type": "write a table",
    "model_type": "write a table",
    "model_attributes_type": "write a table",
}


def explain(error: ValidationError, model: type[BaseModel], source: str) -> Iterator[Problem]:
    """Turn each finding into a problem.

    Args:
        error: What pydantic found.
        model: The model that was validated.
        source: The file.
    """
    for finding in error.errors(include_url=False, include_context=True):
        location = tuple(part for part in finding["loc"] if part != "[key]")
        kind = finding["type"]
        if kind == "extra_forbidden":
            yield _unknown_key(location, model, source)
            continue
        message = {"missing": "is missing"}.get(kind, _plain(finding["msg"]))
        yield Problem(source, dotted(location), message, _REMEDIES.get(kind, _remedy(message)))


def dotted(location: Sequence[str | int]) -> str:
    """Write a location as TOML does: ``runtimes."3.14".mounts[0].source``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", part)
            text += ("." if text else "") + (part if bare else f'"{part}"')
    return text


def without_mistakes(data: dict[str, Any], error: ValidationError) -> dict[str, Any]:
    """Copy a registry's data without what pydantic refused, for the checks that need only the rest of it.

    Args:
        data: The parsed file.
        error: What pydantic found.
    """
    copy = deepcopy(data)
    for finding in error.errors(include_url=False, include_context=False):
        location = list(finding["loc"])
        if finding["type"] == "missing" and location[-1] == "executable":
            _parent(copy, location).setdefault("executable", "/")
            continue
        if finding["type"] == "missing":
            location.pop()
        names = list(takewhile(lambda part: isinstance(part, str) and part != "[key]", location))
        _parent(copy, names).pop(str(names[-1]), None)
    return copy


def _parent(data: dict[str, Any], location: Sequence[str | int]) -> dict[str, Any]:
    for part in location[:-1]:
        data = data.get(str(part), {})
    return data


def _plain(message: str) -> str:
    message = message.removeprefix("Value error, ").replace("Input should", "should")
    return message[:1].lower() + message[1:]


def _remedy(message: str) -> str:
    return "write a larger number" if "greater than" in message else "correct the value"


def _unknown_key(location: tuple[str | int, ...], model: type[BaseModel], source: str) -> Problem:
    known = list(_keys_at(model, location[:-1]))
    near = difflib.get_close_matches(str(location[-1]), known, 1)
    remedy = f"did you mean {near[0]!r}?" if near else f"known keys: {', '.join(known)}"
    return Problem(source, dotted(location), "unknown key", remedy)


def _keys_at(model: type[BaseModel], location: Sequence[str | int]) -> Sequence[str]:
    """List the keys of the table at a location, by following the annotations."""
    annotation: Any = model
    for part in location:
        table = _table_in(annotation)
        annotation = table.model_fields[str(part)].annotation if table else _inner(annotation)
    table = _table_in(annotation)
    return list(table.model_fields) if table else []


def _table_in(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) in {Union, types.UnionType}:
        return next(filter(None, map(_table_in, get_args(annotation))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _inner(annotation: Any) -> Any:
    """Name what a container holds: the values of a dict, the items of a tuple."""
    arguments = get_args(annotation)
    return arguments[1] if get_origin(annotation) is dict else arguments[0]

"""Why a body does not fit its schema, explained to the client that sent it."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from snekhouse.registry.mistakes import nearest
from snekhouse.web.fields import INVALID_FILE, keys_of
from snekhouse.web.json_outline import NOT_JSON

_NOT_VALID = "Request data failed validation"
_INVALID_FILE = "Request file is invalid"
"""Titles of snekbox, which its clients compare."""


_MAX_PROBLEMS = 10
"""Problems of a body that an answer lists."""

_MAX_KEYS = 50
"""Keys of a body among which a misspelt one is searched: each takes tens of microseconds."""

_MAX_KEY_LENGTH = 100
"""Characters of a key that an answer repeats."""


_MAX_LISTED = 1_000
"""Problems of a body of which some are listed: pydantic makes a list of all, which takes time and memory."""


def explained(error: ValidationError, model: type[BaseModel], body: bytes) -> tuple[str, str]:
    """Explain the problems of a body.

    Args:
        error: What pydantic found.
        model: The schema.
        body: The body.

    Returns:
        The title of the answer, and its description: problems with their locations.
    """
    count = error.error_count()
    if count > _MAX_LISTED:
        return _NOT_VALID, f"{count} fields are wrong or unknown; GET /openapi.json describes them all"
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    listed = "; ".join(sentence(problem, model) for problem in islice(problems, _MAX_PROBLEMS))
    more = count - _MAX_PROBLEMS
    listed = listed.replace("hex escape", "hex escape (a lone surrogate is not a character)")
    return _title(problems), listed + (f"; and {more} more" if more > 0 else "") + _misspelt(problems, model, body)


def _title(problems: Sequence[ErrorDetails]) -> str:
    """Choose the title; problems of files count only if there are no others."""
    kinds = {problem["type"] for problem in problems}
    if kinds == {"json_invalid"}:
        return NOT_JSON
    return _INVALID_FILE if kinds == {INVALID_FILE} else _NOT_VALID


def sentence(problem: ErrorDetails, model: type[BaseModel]) -> str:
    """Say what is wrong in a body, and where.

    Args:
        problem: One finding of pydantic.
        model: The schema of the body.
    """
    location = ".".join(key[:_MAX_KEY_LENGTH] for key in keys_of(problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        known = list(_object_at(problem["loc"][:-1], model).model_fields)
        otherwise = f"known: {', '.join(known)}"
        message = f"unknown; {nearest(_key(problem), known, otherwise)}"
    if problem["type"] == "int_type" and problem["loc"][-2:] in _IN_BYTES:
        message = "Input should be a whole number of bytes"
    return f"{location}: {message}" if location else message


_IN_BYTES = {("limits", "memory"), ("limits", "output")}
"""Fields that are numbers of bytes: in a registry, a size may have a unit."""


def _key(problem: ErrorDetails) -> str:
    return str(problem["loc"][-1])[:_MAX_KEY_LENGTH]


def _misspelt(problems: Sequence[ErrorDetails], model: type[BaseModel], body: bytes) -> str:
    """Name a field that is ignored but similar to a known one, if a check of the whole body failed."""
    if any(problem["loc"] for problem in problems) or problems[0]["type"] != "value_error":
        return ""
    unknown = (key[:_MAX_KEY_LENGTH] for key in islice(json.loads(body), _MAX_KEYS) if key not in model.model_fields)
    hints = ((key, nearest(key, list(model.model_fields), "")) for key in unknown)
    return next((f"; unknown: {key}; {hint}" for key, hint in hints if hint), "")


def _object_at(location: tuple[int | str, ...], model: type[BaseModel]) -> type[BaseModel]:
    """Return the model of an object in a body."""
    within = [model]
    for name in location:
        if isinstance(name, int):
            continue  # an item of a list, whose model stands in the list's annotation
        named = [each for each in within if each.__name__ == name]  # the member of a union that an error is about
        model = named[0] if named else model
        if field := model.model_fields.get(name):
            within = list(_models_in(field.annotation))
            model = within[0] if within else model
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    """Find the models in an annotation such as ``tuple[Model, ...] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)

"""What the commands that judge and compare share: the program, its validation, and quiet logs."""

import json
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import ValidationError

from snekhouse.cli import files
from snekhouse.errors import UsageError
from snekhouse.server import logs
from snekhouse.web.explaining import sentence
from snekhouse.web.judge_request import CompareRequest, JudgeRequest

ProgramArgument = Annotated[Path, typer.Argument(help="File of the program, or - for standard input.")]


def set_up_quiet_logs() -> None:
    """Print warnings, and no errors: the error that ends the command says the same."""
    logs.set_up_messages()
    logging.getLogger("snekhouse.service").addFilter(lambda record: record.levelno < logging.ERROR)


def text_of(path: Path) -> str:
    """Read a file of UTF-8.

    Raises:
        typer.BadParameter: It cannot be read, or is not UTF-8.
    """
    try:
        return files.read_input(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not UTF-8: {error.reason}; save it in UTF-8") from error


_Request = TypeVar("_Request", JudgeRequest, CompareRequest)


def validated_request(
    model: type[_Request], body: Mapping[str, Any], source: Path, places: Sequence[str] = ()
) -> _Request:
    """Validate the fields of a request, and return the request.

    Args:
        model: Its model.
        body: Its fields.
        source: The file with the fields that may be wrong.
        places: Where each of its cases stands in this file or folder.

    Raises:
        UsageError: A field is wrong.
    """
    try:
        return model.model_validate_json(json.dumps(body))
    except ValidationError as error:
        problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise UsageError(f"{source}: {with_places(sentence(problem, model), places)}") from error


def with_places(text: str, places: Sequence[str]) -> str:
    """Name the place of a case at the start of a message, instead of its index.

    Args:
        text: The message.
        places: Where each case stands in its file or folder.
    """
    found = re.match(r"cases\.(\d+)[.:] ?", text)
    return f"{places[int(found[1])]}: {text[found.end() :]}" if found and places else text

"""Mistakes in a registry, explained to the person who wrote it."""

import difflib
import re
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from snekhouse.errors import Problem
from snekhouse.shortening import shortened

Location = tuple[str | int, ...]
"""A position in a file: keys, and indices of lists."""

_SIZE = ("{shown} is not a size", "write bytes, or a number with KiB, MiB or GiB")
_TEXT = ("is not text", "put it in quotes")
_TABLE = ("is not a table", "write a table: {table}")

_MAX_VALUE_LENGTH = 60
"""Characters of a wrong value that a message repeats."""

_MESSAGES: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "add it"),
    "bool_type": ("is not true or false", "write true or false, without quotes"),
    "int_type": ("is not a whole number", "write a whole number, without quotes"),
    "float_type": ("is not a number", "write a number, without quotes"),
    "finite_number": ("is not a finite number", "write a number greater than 0"),
    "greater_than": ("must be greater than {gt:g}", "write a number greater than {gt:g}"),
    "greater_than_equal": ("must not be less than {ge:g}", "write {ge:g} or more"),
    "less_than_equal": ("must not be more than {le}", "write a smaller number"),
    "string_type": _TEXT,
    "string_too_short": ("is empty", "write a value, or leave the key out"),
    "literal_error": ("must be {expected}", "write {expected}, or leave the key out"),
    "tuple_type": ("is not a list", "write a list: [...]"),
    "dict_type": _TABLE,
    "mapping_type": _TABLE,
    "model_type": _TABLE,
    "byte_size": _SIZE,
    "byte_size_unit": _SIZE,
    "size": _SIZE,
    "not_positive": ("must be greater than 0", "write bytes, or a number with KiB, MiB or GiB, greater than 0"),
    "too_many_bytes": ("is larger than a file can be", "write a smaller size"),
    "null_byte": ("contains a null byte", "remove it"),
    "relative_path": ("is not an absolute path", "write a path that starts with /"),
    "parent_in_path": ("contains '..'", "write the path without it"),
    "host_root": (
        "is the root of the host itself",
        "name the folder of another root, or leave the key out and mount what is needed",
    ),
    "name": ("{shown} is not a name", "start with a letter or digit, then use only letters, digits and . _ + -"),
    "bind": ("is not an address", 'write "host:port", such as "127.0.0.1:8060", with a port of at most 65535'),
    "host": ("is not a host name", 'write it without scheme and port, such as "snek.example" or "*.snek.example"'),
    "origin": ("is not an origin", 'write scheme and host in lower case, such as "https://snek.example"'),
    "env_name": (
        "is not the name of an environment variable",
        "write a name that is not empty and has neither '=' nor null bytes",
    ),
    "preload": ('is neither "auto" nor a list of modules', 'write "auto", or a list such as ["numpy"]'),
    "module_name": ("is not the name of a module", 'write it as in an import, such as "numpy.linalg"'),
    "version": ("is not a release of CPython", 'write the full version, such as "3.14.6"'),
    "range": ("is not a range of ids", "write the first and the last of 2 to 65536 ids, such as [200000, 200999]"),
    "image_name": ("is not the name of an image", 'write it as for docker pull, such as "python:3.14-slim"'),
    "sha256": ("is not a SHA-256 checksum", "write 64 hexadecimal digits in lower case"),
}


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong in a registry's data.

    Attributes:
        location: Where it is.
        message: What is wrong.
        remedy: What to do about it.
    """

    location: Location
    message: str
    remedy: str

    def in_file(self, source: str) -> Problem:
        """Return the mistake with the name of the file, and its key as TOML writes it.

        Args:
            source: The file, as the person named it.
        """
        return Problem(source, dotted(self.location), self.message, self.remedy)


_MARKS = {"[key]", "[auto]", "[list]"}
"""Parts that pydantic adds to a location and that are not in the file.

"[key]" says that the key is wrong, not its value. "[auto]" and "[list]" name the form of the value of `preload`.
"""


def mistakes_of(error: ValidationError, model: type[BaseModel]) -> Iterator[Mistake]:
    """Turn each finding of pydantic into a mistake.

    Args:
        error: What pydantic found.
        model: The model that was validated.
    """
    for finding in error.errors(include_url=False):
        kind, location = finding["type"], finding["loc"]
        if kind == "default_factory_not_called":  # a consequence of another finding
            continue
        if kind == "extra_forbidden":
            yield Mistake(location, "unknown key", _remedy_of_key(location, model))
            continue
        location = tuple(part for part in location if part not in _MARKS)
        details = {
            **finding.get("ctx", {}),
            "shown": shortened(repr(finding["input"]), _MAX_VALUE_LENGTH),
            "table": '{ source = "/usr" }' if isinstance(location[-1], int) else f"[{dotted(location)}]",
        }
        message, remedy = (text.format(**details) for text in _MESSAGES[kind])
        yield Mistake(location, message, remedy)


def dotted(location: Location) -> str:
    """Write a location as TOML does: ``runtimes."3.14".mounts[0].source``."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if re.fullmatch(r"[A-Za-z0-9_-]+", part) else _quoted(part))
    return text


def nearest(word: str, known: Sequence[str], otherwise: str) -> str:
    """Suggest a known word that is similar to an unknown one.

    Args:
        word: The unknown word.
        known: The known words.
        otherwise: The text to return if no known word is similar.
    """
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]!r}?" if near else otherwise


def _quoted(key: str) -> str:
    r"""Write a basic string of TOML, with ``\u`` escapes for control characters."""
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'


def _remedy_of_key(location: Location, model: type[BaseModel]) -> str:
    *where, key = location
    fields = _table_at(model, where).model_fields
    tables = {name: table for name, field in fields.items() if (table := _table_in(field.annotation))}
    home = next((name for name, table in tables.items() if key in table.model_fields), None)
    if home and not difflib.get_close_matches(str(key), list(fields), 1, _VERY_NEAR):
        return f"it belongs to {dotted((*where, home))}"
    return nearest(str(key), list(fields), f"known keys: {', '.join(fields)}")


_VERY_NEAR = 0.8
"""If a known key is at least this similar (difflib), the remedy suggests this key.

Otherwise it names the table below that has the written key, if there is one.
"""


def _table_at(model: type[BaseModel], location: Sequence[str | int]) -> type[BaseModel]:
    """Find the model of the table at a location: follow the annotations."""
    annotation: Any = model
    for part in location:
        table = _table_in(annotation)
        annotation = table.model_fields[str(part)].annotation if table else _item_of(annotation)
    table = _table_in(annotation)
    if table is None:
        raise LookupError(f"{dotted(tuple(location))} is not a table")
    return table


def _table_in(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) in {Union, types.UnionType}:
        return next(filter(None, map(_table_in, get_args(annotation))), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, BaseModel) else None


def _item_of(annotation: Any) -> Any:
    """Return the annotation of what a container holds: the values of a dict, the items of a tuple."""
    arguments = get_args(annotation)
    return arguments[1] if get_origin(annotation) is dict else arguments[0]

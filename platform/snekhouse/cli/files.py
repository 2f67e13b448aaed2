"""Files that the command line sends to an evaluation and saves from it."""

import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import typer

from snekhouse.evaluation import File


def read_input(path: Path) -> bytes:
    """Read a file named on the command line, or standard input for ``-``.

    Raises:
        typer.BadParameter: The file cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"cannot read {path}: {error.strerror}") from error


def check_standard_input(*paths: Path | None) -> None:
    """Check that at most one argument is ``-``: a second reader of standard input would get nothing.

    Raises:
        typer.BadParameter: Several are.
    """
    if [str(path) for path in paths].count("-") > 1:
        raise typer.BadParameter("standard input can be read only once; name a file instead of the second -")


def uploads(paths: Iterable[Path]) -> tuple[File, ...]:
    """Read files to send. A relative path stays the same in the home; any other path is shortened to its file name.

    Raises:
        typer.BadParameter: A file cannot be read, or two would have the same path in the home.
    """
    found: dict[str, File] = {}
    for path in paths:
        name = path.name if path.is_absolute() or ".." in path.parts else path.as_posix()
        if name in found:
            raise typer.BadParameter(f"two files would have the path {name!r} in the home; rename {path}")
        found[name] = File(name, read_input(path))
    return tuple(found.values())


def make_folder(folder: Path) -> None:
    """Make the folder to save to. This happens before the evaluation, so that a wrong path is reported early.

    Raises:
        typer.BadParameter: The folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot save to {folder}: {error.strerror}") from error


def save(folder: Path, file: File) -> Path:
    """Write a file of the program into a folder; the file's path is relative and has no ``..``.

    Raises:
        OSError: The file cannot be written.
    """
    target = folder / PurePosixPath(file.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(file.content)
    return target

"""Files between this machine and an evaluation on the command line."""

import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import typer

from snekhouse.evaluation import File


def read_input(path: Path) -> bytes:
    """Read a file that was named on the command line, or standard input for ``-``.

    Raises:
        typer.BadParameter: It cannot be read.
    """
    try:
        return sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"cannot read {path}: {error.strerror}") from error


def uploads(paths: Iterable[Path]) -> tuple[File, ...]:
    """Read files to send: a relative path stays as it is in the home, of any other the name alone.

    Raises:
        typer.BadParameter: One of them cannot be read, or two would be one in the home.
    """
    found: dict[str, File] = {}
    for path in paths:
        name = path.name if path.is_absolute() or ".." in path.parts else path.as_posix()
        if name in found:
            raise typer.BadParameter(f"{path} would replace another file {name!r} in the home")
        found[name] = File(name, read_input(path))
    return tuple(found.values())


def make_folder(folder: Path) -> None:
    """Make a folder to save to, before anything is evaluated in vain.

    Raises:
        typer.BadParameter: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(f"cannot save to {folder}: {error.strerror}") from error


def save(folder: Path, file: File) -> Path:
    """Write a file that a program left below a folder; its path is relative and has no ``..``.

    Raises:
        OSError: It cannot be written.
    """
    target = folder / PurePosixPath(file.path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(file.content)
    return target

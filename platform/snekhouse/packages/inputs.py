"""The files and folders of the host that uv reads: files are copied into the jail, folders are mounted."""

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from snekhouse.errors import PackagesError
from snekhouse.registry.models import Mount

_COPIES = "/snekhouse/given"
_SOURCES = "/snekhouse/sources"

_PASSED_VARIABLES = re.compile(
    r"(?:UV_(?:DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|INDEX_STRATEGY"
    r"|INDEX_\w+_(?:USERNAME|PASSWORD)|INSECURE_HOST|HTTP_\w+|REQUEST_TIMEOUT|NATIVE_TLS|SYSTEM_CERTS|OFFLINE"
    r"|PRERELEASE|RESOLUTION|FORK_STRATEGY|EXCLUDE_NEWER|CONCURRENT_\w+|REQUIRE_HASHES|NO_VERIFY_HASHES|TORCH_BACKEND)"
    r"|SSL_CERT_FILE|SSL_CERT_DIR"
    r"|(?:HTTP|HTTPS|ALL|NO)_PROXY|(?:http|https|all|no)_proxy)"
)
"""Variables that say where packages come from. The jail gets no other variable of uv: some make uv build or run
code."""

_INDEX_VARIABLES = {"UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS"}


class Inputs:
    """The files and folders of the host that a jail may read, besides those of its runtime.

    Attributes:
        mounts: The mounts that make them visible in the jail.
    """

    def __init__(self, folder: Path, place: Path) -> None:
        """Make an empty set of inputs.

        Args:
            folder: The folder for copies.
            place: The folder that relative paths start from: the user's current folder.
        """
        self._folder = folder
        self.place = place
        self.mounts = [Mount(source=str(folder), target=_COPIES)]
        self._copies = 0

    def write(self, text: str) -> str:
        """Write a requirements file; return its path in the jail."""
        path, inside = self._next("requirements.txt")
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
        return inside

    def file(self, source: Path) -> str:
        """Copy a file; return its path in the jail.

        Raises:
            PackagesError: The file cannot be read.
        """
        path, inside = self._next(source.name)
        with _reading(source):
            shutil.copyfile(source, path)
        path.chmod(0o644)
        return inside

    def tree(self, source: Path) -> str:
        """Copy a source folder, without following links; return its path in the jail.

        Raises:
            PackagesError: The folder cannot be read.
        """
        path, inside = self._next(source.resolve().name or "source")  # `..` has a name only when it is resolved
        with _reading(source):
            shutil.copytree(source, path, symlinks=True)
        return inside

    def folder(self, source: Path) -> str:
        """Mount a folder; return its path in the jail."""
        target = f"{_SOURCES}/{len(self.mounts)}"
        self.mounts.append(Mount(source=str(source.resolve()), target=target))
        return target

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """Select the variables that say where packages come from; bring the files that they name into the jail."""
        return {name: self._value(name, value) for name, value in env.items() if _PASSED_VARIABLES.fullmatch(name)}

    def _value(self, name: str, value: str) -> str:
        if name in _INDEX_VARIABLES:
            return self.index(value)
        if name == "SSL_CERT_FILE" and Path(value).is_file():
            return self.file(Path(value))
        if name == "SSL_CERT_DIR" and Path(value).is_dir():
            return self.folder(Path(value))
        return value

    def index(self, value: str) -> str:
        """Mount the local folders of a list of indexes; return the list with their paths in the jail."""
        if (whole := local_path(value, self.place)) and whole.is_dir():
            return self.folder(whole)
        return "".join(self._indexes(value))

    def _indexes(self, value: str) -> Iterator[str]:
        for part in re.split(r"([\s,]+)", value):
            name, equals, url = part.partition("=") if re.match(r"[\w-]+=", part) else ("", "", part)
            path = local_path(url, self.place)
            yield name + equals + (self.folder(path) if path and path.is_dir() else url)

    def _next(self, name: str) -> tuple[Path, str]:
        """Make a folder for the next copy, so that copies may have equal names; return its paths outside and inside."""
        self._copies += 1
        folder = self._folder / str(self._copies)
        folder.mkdir()
        folder.chmod(0o755)
        return folder / name, f"{_COPIES}/{self._copies}/{name}"


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Turn an error of the operating system into one that names what a person has given."""
    try:
        yield
    except shutil.Error as error:  # of a folder: triples of source, copy and reason
        raise PackagesError(f"cannot read {source}: {error.args[0][0][2]}; correct it, and try again") from error
    except OSError as error:
        raise PackagesError(f"cannot read {source}: {error.strerror or error}; correct it, and try again") from error


def local_path(text: str, place: Path) -> Path | None:
    """Read a path or a ``file:`` URL; return None for another URL and for an empty text.

    Args:
        text: The path or URL.
        place: The folder that a relative path starts from.
    """
    if text.startswith("file:"):
        return place / unquote(urlsplit(text).path)
    if not text or re.match(r"[a-z0-9+.-]+:", text):
        return None
    return place / Path(text).expanduser()

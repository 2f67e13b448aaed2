"""Rewrite a person's requirements for a jail, and bring the files that they name into the jail.

Source: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from snekhouse.errors import PackagesError
from snekhouse.packages.inputs import Inputs, local_path

_OPTION = re.compile(r"(--?[a-z-]+)(?:\s*=\s*|\s+|$)(.*)", re.DOTALL)
_SHORT = re.compile(r"^-([rcefi])(?=[^\s=-])")
"""An option followed directly by its value: ``-rfile``."""

_COMMENT = re.compile(r"(^|\s+)#.*$", re.MULTILINE)
_VARIABLE = re.compile(r"\$\{([A-Z0-9_]+)\}")
_REST = re.compile(r"(?:\s+;|;\s|\s+--[a-z]).*$", re.DOTALL)
"""The rest of a line after a requirement: a marker, or options such as hashes."""

_NAMED_URL = re.compile(r"([A-Za-z0-9][\w.-]*\s*(?:\[[^\]]*\])?\s*@\s*)(\S.*)", re.DOTALL)
_EXTRAS = re.compile(r"\[[^\]/]*\]$")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst", ".tar")
_SOURCE_OPTIONS = {"--index-url", "-i", "--extra-index-url", "--find-links", "-f"}
_ALLOWED_OPTIONS = {"--no-index", "--pre", "--prefer-binary", "--require-hashes", "--trusted-host"}
_BUILD_OPTIONS = {"--no-binary", "--only-binary"}


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads requirements.

    Attributes:
        inputs: Brings the files that they name into the jail.
        builds: Whether source distributions may be built.
        remedy: What a person can do about a package that must be built.
    """

    inputs: Inputs
    builds: bool
    remedy: str

    def requirements(self, given: Sequence[str]) -> str:
        """Write requirements to a file; return its path in the jail.

        Raises:
            PackagesError: A text is not a requirement, or a package must be built and builds are not allowed.
        """
        for each in given:
            if each.lstrip().startswith("-") or "\n" in each or "\r" in each:
                raise PackagesError(
                    f"{each!r} is not a requirement; write the name of a package, or the path of a wheel"
                )
        return self.inputs.write("".join(f"{self._requirement(each.strip())}\n" for each in given))

    def file(self, path: Path) -> str:
        """Bring a requirements file and the files that it names into the jail; return its path there.

        Raises:
            PackagesError: A file cannot be read, or has a line that is not allowed.
        """
        return self._file(path, ())

    def _file(self, path: Path, around: tuple[Path, ...]) -> str:
        real = path.resolve()
        if real in around:
            raise PackagesError(f"{path} includes itself; remove that line")
        try:
            text = real.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise PackagesError(f"{path} cannot be read: {error}") from error
        try:
            lines = [self._line(line, path.parent, (*around, real)) for line in _logical_lines(text)]
        except PackagesError as error:
            raise PackagesError(f"{path}: {error}") from error
        return self.inputs.write("".join(f"{line}\n" for line in lines))

    def _line(self, line: str, place: Path, around: tuple[Path, ...]) -> str:
        if not line.startswith("-"):
            return self._requirement(line)
        found = _OPTION.fullmatch(_SHORT.sub(r"-\1 ", line, count=1))
        option, value = found.groups() if found else (line, "")
        if option == "--only-binary" and not self.builds:
            return ""  # uv already has --only-binary :all:, and the file must not undo it
        return f"{option} {self._value(option, value.strip(), place, around)}".rstrip()

    def _value(self, option: str, value: str, place: Path, around: tuple[Path, ...]) -> str:
        if option in {"-r", "--requirement", "-c", "--constraint"}:
            return self._file(place / value, around)
        if option in _SOURCE_OPTIONS:
            found = [local_path(value, folder) for folder in (place, self.inputs.place)]
            return next((self.inputs.folder(path) for path in found if path and path.is_dir()), value)
        if option in _ALLOWED_OPTIONS or (option in _BUILD_OPTIONS and self.builds):
            return value
        if option in {"-e", "--editable"}:
            raise PackagesError(f"{option} {value}: editable installs are not supported; remove {option}")
        if option == "--no-binary":
            raise PackagesError(f"{option} {value} asks for source distributions; {self.remedy}")
        raise PackagesError(f"the option {option} is not supported; remove it")

    def _requirement(self, line: str) -> str:
        """Rewrite a requirement that names a file; check that it is a wheel unless builds are allowed."""
        rest = found[0] if (found := _REST.search(line)) else ""
        what = line.removesuffix(rest) if rest else line
        named = _NAMED_URL.fullmatch(what)
        prefix, target = named.groups() if named else ("", what)
        if not named and not _is_location(target):
            return line
        extras = found[0] if not named and (found := _EXTRAS.search(target)) else ""
        return f"{prefix}{self._location(target.removesuffix(extras))}{extras}{rest}"

    def _location(self, target: str) -> str:
        # Relative to the current folder, as in pip, wherever the requirements file is.
        path = local_path(target, self.inputs.place)
        name = str(path) if path else urlsplit(target).path
        is_wheel = name.endswith(".whl") and not re.match(r"(git|hg|svn|bzr)\+", target)
        if not is_wheel and not self.builds:
            raise PackagesError(f"{target} must be built from source; {self.remedy}")
        if path is None:
            return target
        if not path.exists():
            raise PackagesError(f"{target} does not exist (looked for {path})")
        bring: Callable[[Path], str] = self.inputs.tree if path.is_dir() else self.inputs.file
        return bring(path)


def _logical_lines(text: str) -> Iterator[str]:
    """Join continued lines, drop comments and empty lines, and replace variables, as pip does."""
    for line in _COMMENT.sub("", text.replace("\\\r\n", " ").replace("\\\n", " ")).splitlines():
        if line.strip():
            yield _VARIABLE.sub(lambda found: os.environ.get(found[1], found[0]), line.strip())


def _is_location(target: str) -> bool:
    """Return whether a requirement is a path or a URL and not the name of a package, as pip decides it."""
    bare = _EXTRAS.sub("", target)
    return "/" in bare or bare.startswith(".") or bare.lower().endswith(_ARCHIVES)

"""The files of a home that an answer returns."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path, PurePosixPath

from snekhouse.evaluation import File
from snekhouse.jail.home_walk import Entry, FilesError, HomeWalk, unless_dead_end
from snekhouse.jail.protocol import Stamp
from snekhouse.registry.models import Files


class KnownFiles:
    """The stamps of files that need not be returned; at most `_MAX_KNOWN`.

    Paths are kept as digests, because a program may use paths of 4 KiB.
    """

    def __init__(self, files: Iterable[tuple[bytes, bytes]] = (), stamps: Iterable[Stamp] = ()) -> None:
        """Remember input files.

        Args:
            files: Path and content of each.
            stamps: The stamp of each, in the same order.
        """
        self._stamps: dict[bytes, Stamp] = {}
        self.add(files, stamps)

    def add(self, files: Iterable[tuple[bytes, bytes]], stamps: Iterable[Stamp]) -> None:
        """Remember more input files."""
        for (path, _), stamp in zip(files, stamps, strict=True):
            self.note(path.decode(), stamp)

    def note(self, path: str, stamp: Stamp) -> None:
        """Remember the stamp of a file; forget the oldest one if there are too many."""
        self._stamps[_digest(path)] = stamp
        if len(self._stamps) > _MAX_KNOWN:
            self._stamps.pop(next(iter(self._stamps)))

    def includes(self, path: str, stamp: Stamp) -> bool:
        """Return whether a file is known, and has not changed since."""
        return self._stamps.get(_digest(path)) == stamp


_MAX_KNOWN = 20_000
"""Files that are known at once; a request has at most as many."""


def _digest(path: str) -> bytes:
    return hashlib.blake2b(path.encode(), digest_size=16).digest()


def collect(home: int, *, files: Files, size_limit: int, known: KnownFiles) -> tuple[tuple[File, ...], str]:
    """Read the files that a program left.

    Args:
        home: Descriptor of the home.
        files: How many files to return, which names, and how long collecting may take.
        size_limit: Bytes of all files together; a file that does not fit is skipped.
        known: Files that are not returned unless they have changed. `collect` adds the files that it returns.

    Returns:
        The first files, sorted by path; and a sentence that says which limit left others out, or an empty text.

    Raises:
        FilesError: It took too long; or, before the last file that is returned, a name is not UTF-8, or a path is too
            deep or too long.
    """
    return _Collector(home, files, size_limit, known).collect()


def is_empty(home: int) -> bool:
    """Check whether a home has no entries."""
    with os.scandir(home) as entries:
        return next(entries, None) is None


class _Collector:
    def __init__(self, home: int, files: Files, size_limit: int, known: KnownFiles) -> None:
        self._walk = HomeWalk(home, files.timeout)
        self._files = files
        self._size = self._size_left = size_limit
        self._known = known
        self._returned: list[tuple[str, Stamp]] = []
        self._skipped = 0

    def collect(self) -> tuple[tuple[File, ...], str]:
        if not self._files.limit:
            return (), ""
        entries = self._entries()
        found = tuple(islice(self._found(entries), self._files.limit))
        for path, stamp in self._returned:
            self._known.note(path, stamp)
        return found, "; ".join(self._left_out(entries))

    def _left_out(self, rest: Iterator[Entry]) -> Iterator[str]:
        if self._skipped:
            files = "1 file is" if self._skipped == 1 else f"{self._skipped} files are"
            limit = f"all files together may have at most {self._size} bytes (limits.home)"
            yield f"{files} left out, because {limit}"
        try:
            has_more = any(self._is_new(entry) for entry in rest)
        except FilesError:
            has_more = True  # most probably
        if has_more:
            yield f"at most {self._files.limit} files are returned (files.limit)"

    def _entries(self) -> Iterator[Entry]:
        for entry in self._walk.entries():
            if _matches(entry.path, self._files.pattern):
                self._walk.check_time()
                yield entry

    def _is_new(self, entry: Entry) -> bool:
        with self._walk.opened(entry) as target:
            return target is not None and not self._known.includes(entry.text, _stamp(os.fstat(target)))

    def _found(self, entries: Iterator[Entry]) -> Iterator[File]:
        for entry in entries:
            path = entry.text
            content = self._read(entry, path)
            if content is not None:
                yield File(path, content)

    def _read(self, entry: Entry, path: str) -> bytes | None:
        """Read the file that a name leads to, if it is regular, fits, and is not known already."""
        with self._walk.opened(entry) as target:
            if target is None:
                return None
            status = os.fstat(target)
            stamp = _stamp(status)
            if self._known.includes(path, stamp):
                return None
            if status.st_size > self._size_left:
                self._skipped += 1
                return None
            content = unless_dead_end(lambda: _read_all(target, status.st_size))
        self._returned.append((path, stamp))
        self._size_left -= len(content or b"")
        return content


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_ino, status.st_mtime_ns)


def _read_all(target: int, size: int) -> bytes:
    """Read a regular file that an O_PATH descriptor names."""
    with Path(f"/proc/self/fd/{target}").open("rb") as file:
        return file.read(size)


def _matches(path: bytes, pattern: str) -> bool:
    """Match a whole path; ``**/`` at the start of a pattern matches any folders or none."""
    pure = PurePosixPath(os.fsdecode(path))
    return pure.match(pattern.removeprefix("**/")) if pattern.startswith("**/") else pure.match("/" + pattern)

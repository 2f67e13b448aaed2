"""Which releases of CPython there are, by python.org's own list."""

import json
import re
import urllib.request
from collections.abc import Mapping
from typing import Any

from snekhouse.errors import RemoteError, UsageError

RELEASES = "https://www.python.org/api/v2/downloads/release/?is_published=true&pre_release=false"
"""Source: https://www.python.org/api/v2/ lists it as `downloads/release`."""

Release = tuple[int, int, int]

_TIMEOUT = 30.0
"""Seconds that the list may take to come."""

_MOST_BYTES = 16 << 20
"""What is read of an answer; python.org's has less than 1 MiB."""

_NAME = re.compile(r"Python (\d+)\.(\d+)\.(\d+)")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def newest_releases(url: str) -> dict[tuple[int, int], Release]:
    """Ask for the newest release of each minor version.

    Args:
        url: The list, in the form of python.org's.

    Raises:
        UsageError: It is not a URL.
        RemoteError: There is no such list.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not a URL; write one that starts with https://")
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310 - looked at above
            return _newest(json.loads(answer.read(_MOST_BYTES)))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RemoteError(
            f"cannot read a list of releases from {url}: {error}; check the network, or name another list with --url"
        ) from error


def newer_release(version: str, newest: Mapping[tuple[int, int], Release]) -> str | None:
    """Name the release that takes the place of another.

    Args:
        version: As an interpreter says it, e.g. ``3.14.0rc1``.
        newest: The newest release of each minor version.

    Returns:
        The newest of the same minor version; None where `version` is that, or newer, or nothing is known of it.
    """
    match = _VERSION.match(version)
    if match is None:
        return None
    major, minor, micro = map(int, match.groups())
    latest = newest.get((major, minor))
    is_prerelease = match.end() < len(version) and version[match.end()].isalpha()
    if latest is None or latest < (major, minor, micro) or (latest == (major, minor, micro) and not is_prerelease):
        return None
    return ".".join(map(str, latest))


def _newest(listed: Any) -> dict[tuple[int, int], Release]:
    newest: dict[tuple[int, int], Release] = {}
    for each in listed:
        match = _NAME.fullmatch(each["name"])
        if match and each["is_published"] and not each["pre_release"]:
            major, minor, micro = map(int, match.groups())
            newest[major, minor] = max(newest.get((major, minor), (0, 0, 0)), (major, minor, micro))
    if not newest:
        raise ValueError("it lists no release")
    return newest

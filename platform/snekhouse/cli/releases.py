"""The releases of CPython in python.org's list."""

import http.client
import json
import re
import urllib.request
from collections.abc import Mapping
from typing import Any

from snekhouse.errors import RemoteError, UsageError

RELEASES = "https://www.python.org/api/v2/downloads/release/?is_published=true&pre_release=false"
"""Source: https://www.python.org/api/v2/ lists it as `downloads/release`."""

Release = tuple[int, int, int]

_LIST_TIMEOUT_S = 30.0
"""Seconds for the server of the list to answer."""

_MAX_BYTES = 16 << 20
"""Maximum number of bytes to read of an answer; python.org's list has less than 1 MiB."""

_NAME = re.compile(r"Python (\d+)\.(\d+)\.(\d+)")
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)")


def newest_releases(url: str) -> dict[tuple[int, int], Release]:
    """Download the list of releases, and return the newest release of each minor version.

    Args:
        url: A list in python.org's format.

    Raises:
        UsageError: `url` is not a URL.
        RemoteError: The list cannot be read.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not a URL; write one that starts with https://")
    try:
        with urllib.request.urlopen(url, timeout=_LIST_TIMEOUT_S) as answer:  # noqa: S310 - checked above
            return _newest(json.loads(answer.read(_MAX_BYTES)))
    except (OSError, ValueError, TypeError, KeyError, http.client.HTTPException) as error:
        raise RemoteError(
            f"cannot read a list of releases from {url}: {error}; check the network, or name another list with --url"
        ) from error


def newer_release(version: str, newest: Mapping[tuple[int, int], Release]) -> str | None:
    """Return the release that supersedes a version.

    Args:
        version: As an interpreter reports it, e.g. ``3.14.0rc1``.
        newest: The newest release of each minor version.

    Returns:
        The newest release of the same minor version; None if `version` is not older, or its minor version is unknown.
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

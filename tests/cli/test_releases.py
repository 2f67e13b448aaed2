"""`runtimes outdated`: what a list of releases says of runtimes, and what is said where there is no list."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from command import refused, snekhouse
from snekhouse.cli.releases import newer_release


def release(name: str, **other: object) -> dict[str, Any]:
    return {"name": name, "is_published": True, "pre_release": False, **other}


@pytest.fixture
def listed() -> Iterator[tuple[str, list[Any]]]:
    """A server of a list, and the list, for a test to fill."""
    entries: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(entries).encode())

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", entries
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("version", "newer"),
    [
        ("3.14.5", "3.14.10"),
        ("3.14.10", None),
        ("3.14.11", None),
        ("3.14.10+", None),
        ("3.14.10rc1", "3.14.10"),
        ("3.14.0a1", "3.14.10"),
        ("3.16.0a1", None),
        ("nonsense", None),
    ],
)
def test_the_newest_of_the_same_minor_version_counts(version: str, newer: str | None) -> None:
    assert newer_release(version, {(3, 14): (3, 14, 10), (3, 15): (3, 15, 2)}) == newer


def test_an_outdated_runtime_is_told_with_the_newest_release(small: Path, listed: tuple[str, list[Any]]) -> None:
    url, entries = listed
    entries.append(release("Python install manager 25.0"))
    for minor in range(6, 30):
        entries += [
            release(f"Python 3.{minor}.98"),
            release(f"Python 3.{minor}.99"),
            release(f"Python 3.{minor}.100rc1", pre_release=True),
            release(f"Python 3.{minor}.101", is_published=False),
        ]
    small.write_text(small.read_text().replace('executable = "', 'start = "cold"\nexecutable = "'))
    done = snekhouse("runtimes", "outdated", "--registry", small, "--url", url, "--json")
    assert done.returncode == 1, done.stderr
    (told,) = json.loads(done.stdout)
    newest = told["version"].rpartition(".")[0] + ".99"
    assert (told["name"], told["newest"]) == ("only", newest)
    assert newest in snekhouse("runtimes", "outdated", "--registry", small, "--url", url).stdout


def test_nothing_outdated_is_a_success(small: Path, listed: tuple[str, list[Any]]) -> None:
    url, entries = listed
    entries.append(release("Python 3.5.99"))
    done = snekhouse("runtimes", "outdated", "--registry", small, "--url", url)
    assert (done.returncode, done.stdout) == (0, f"{small}: no runtime is outdated\n")


@pytest.mark.parametrize("entries", [[], [{}], [1], [{"name": "Python 2"}]])
def test_what_is_no_list_of_releases_is_told(small: Path, listed: tuple[str, list[Any]], entries: list[Any]) -> None:
    url, served = listed
    served += entries
    said = refused(snekhouse("runtimes", "outdated", "--registry", small, "--url", url))
    assert f"cannot read a list of releases from {url}" in said


def test_without_a_network_that_is_told(small: Path) -> None:
    said = refused(snekhouse("runtimes", "outdated", "--registry", small, "--url", "http://127.0.0.1:1/"))
    assert "Connection refused" in said
    assert "check the network, or name another list with --url" in said

"""What the long tests share. SNEKHOUSE_SOAK scales them: 1 is their full length, 0.01 is for a trial."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from serving import Server, running_server

Start = Callable[[], AbstractContextManager[Server]]


@pytest.fixture(scope="session")
def scale() -> float:
    """What to multiply counts and durations with."""
    return float(os.environ.get("SNEKHOUSE_SOAK", "1"))


@pytest.fixture
def start(small: Path, tmp_path: Path) -> Start:
    """Start a server of one runtime, whose queue is short."""
    small.write_text(small.read_text().replace("[server]\n", "[server]\nqueue = 8\n"))

    @contextmanager
    def start() -> Iterator[Server]:
        with running_server(small, tmp_path / "log") as server:
            yield server

    return start

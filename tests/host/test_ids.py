"""The host ids of one server: no other server has them at the same time."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from snekhouse.errors import HostError
from snekhouse.host.ids import reserved_ids

UIDS = (1_900_600_000, 1_900_600_099)
"""Host ids that only these tests have."""

HOLD = f"""
import sys
from snekhouse.host.ids import reserved_ids
with reserved_ids({UIDS}, needed=60, wanted=60) as own:
    print(*own, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other() -> Iterator[subprocess.Popen[str]]:
    """Another process, which has 60 ids."""
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "1900600000 1900600059\n"
        yield process


def test_two_servers_take_different_ids() -> None:
    with ExitStack() as held:
        taken = [held.enter_context(reserved_ids(UIDS, needed=10, wanted=25)) for _ in range(4)]
    assert taken == [(UIDS[0] + 25 * n, UIDS[0] + 25 * n + 24) for n in range(4)]
    with reserved_ids(UIDS, needed=100, wanted=100) as all_of_them:
        assert all_of_them == UIDS


@pytest.mark.usefixtures("other")
def test_ranges_that_overlap_are_kept_apart_as_well() -> None:
    with reserved_ids((UIDS[0] + 50, UIDS[1]), needed=10, wanted=10) as own:
        assert own == (UIDS[0] + 60, UIDS[0] + 69)


@pytest.mark.usefixtures("other")
def test_where_few_are_free_a_server_takes_what_it_needs() -> None:
    with reserved_ids(UIDS, needed=40, wanted=50) as own:
        assert own == (UIDS[0] + 60, UIDS[1])


@pytest.mark.usefixtures("other")
def test_where_too_few_are_free_the_remedy_is_told() -> None:
    with (
        pytest.raises(HostError, match=r"41 host ids in a row are needed, .* name another range"),
        reserved_ids(UIDS, needed=41, wanted=50),
    ):
        pass


def test_a_range_that_is_too_small_is_told() -> None:
    with (
        pytest.raises(HostError, match="end the range at 1900600100 or later"),
        reserved_ids(UIDS, needed=101, wanted=101),
    ):
        pass


def test_ids_of_a_server_that_was_killed_are_free(other: subprocess.Popen[str]) -> None:
    other.kill()
    other.wait()
    with reserved_ids(UIDS, needed=100, wanted=100) as own:
        assert own == UIDS


def test_nobody_else_can_open_the_file_of_locks() -> None:
    with reserved_ids(UIDS, needed=1, wanted=1):
        assert Path("/run/snekhouse/ids").stat().st_mode & 0o777 == 0o600

"""Private folders of servers: who may lock them, and that they may start and end at the same time."""

import stat
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from snekhouse.host.cgroups import detect
from snekhouse.host.state import shared_folder, state_folder


def test_servers_that_end_while_others_start_leave_nothing_and_do_not_fail(tmp_path: Path) -> None:
    def serve(_number: int) -> None:
        with state_folder(tmp_path, None) as state:
            state.folder("only-0").write("profile.cfg", "")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(serve, range(200)))
    assert [each.name for each in tmp_path.iterdir()] == ["lock"]


def test_a_supervisor_with_the_number_of_one_that_was_killed_starts(tmp_path: Path) -> None:
    first = shared_folder(tmp_path)  # in a container, each is process 1
    (first / "left").touch()
    assert shared_folder(tmp_path) == first
    assert list(first.iterdir()) == []


def test_only_the_server_can_open_its_locks(tmp_path: Path) -> None:
    (tmp_path / "lock").touch(mode=0o644)
    with state_folder(tmp_path, None) as state:
        locks = [tmp_path / "lock", state.path / "lock"]
        assert [stat.S_IMODE(lock.stat().st_mode) for lock in locks] == [0o600, 0o600]


def test_groups_of_a_server_that_was_killed_are_swept_wherever_they_are(tmp_path: Path) -> None:
    """The next server may start in another cgroup: in another session, or another unit of systemd."""
    layout = detect().layout
    assert layout, "this host has no cgroups that may be used"
    dead = tmp_path / "house-dead"
    dead.mkdir()
    left = [Path(folder) for folder in layout.folders(f"snekhouse-tests-{uuid.uuid4().hex[:8]}")]
    for folder in left:
        (folder / "1").mkdir(parents=True)
    (dead / "cgroups").write_text("\n".join(map(str, left)))
    with state_folder(tmp_path, None):
        assert not any(folder.exists() for folder in (dead, *left))


def test_a_server_notes_where_its_groups_are(tmp_path: Path) -> None:
    layout = detect().layout
    assert layout, "this host has no cgroups that may be used"
    with state_folder(tmp_path, layout) as state:
        assert (state.path / "cgroups").read_text().splitlines() == list(layout.folders(state.name))

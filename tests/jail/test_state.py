"""Private folders of servers: who may lock them, and that they may start and end at the same time."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from snekhouse.jail.state import state_folder


def test_servers_that_end_while_others_start_leave_nothing_and_do_not_fail(tmp_path: Path) -> None:
    def serve(_number: int) -> None:
        with state_folder(tmp_path, None) as state:
            state.folder("only-0").write("profile.cfg", "")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(serve, range(200)))
    assert [each.name for each in tmp_path.iterdir()] == ["lock"]


def test_only_the_server_can_open_its_locks(tmp_path: Path) -> None:
    (tmp_path / "lock").touch(mode=0o644)
    with state_folder(tmp_path, None) as state:
        locks = [tmp_path / "lock", state.path / "lock"]
        assert [stat.S_IMODE(lock.stat().st_mode) for lock in locks] == [0o600, 0o600]

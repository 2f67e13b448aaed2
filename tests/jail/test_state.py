"""Private folders of servers that start and end at the same time."""

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

"""The registry's file is edited while clients evaluate: what can be served is, soon and whole, and no request fails."""

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from crowds import crowd, until
from serving import Server, await_fork_servers, running_server
from snekhouse.registry.loading import load

TOKEN = "the-token-of-these-tests-w3K"

ANOTHER = '\n[runtimes.other]\nexecutable = "{executable}"\nmounts = [{mounts}]\n'


@pytest.fixture
def edited(small: Path, tmp_path: Path) -> Iterator[Server]:
    """A server whose registry has one runtime, ``only``, and is the test's to edit."""
    with running_server(small, tmp_path / "log") as server:
        await_fork_servers(server.client)
        yield server


def with_another(path: Path) -> str:
    """Write the registry's text with a runtime more."""
    runtime = load(path).runtimes["only"]
    mounts = ", ".join(
        f'{{ source = "{each.source}", target = "{each.target}", mandatory = {str(each.mandatory).lower()} }}'
        for each in runtime.mounts
    )
    return 'default = "only"\n' + path.read_text() + ANOTHER.format(executable=runtime.executable, mounts=mounts)


def with_limits(text: str, limits: str) -> str:
    """Give all runtimes other limits."""
    return f"{text}\n[defaults.limits]\n{limits}\n"


def status(server: Server, runtime: str) -> int:
    return server.client.post(f"/eval/{runtime}", json={"input": "print(1)"}).status_code


def has_wall_time(server: Server, seconds: float) -> bool:
    told: float = server.client.post("/eval", json={"input": ""}).json()["limits"]["wall_time"]
    return told == seconds


def has_refused(server: Server, times: int) -> bool:
    return f'reloads_total{{outcome="refused"}} {times}.0' in server.client.get("/metrics").text


def digest(server: Server) -> str:
    found: str = re.findall(r'registry_info\{hash="(\w+)"\}', server.client.get("/metrics").text)[0]
    return found


def test_a_runtime_comes_and_goes_within_two_seconds(edited: Server, small: Path) -> None:
    before, after = small.read_text(), with_another(small)
    with crowd(edited):
        small.write_text(after)
        assert until(lambda: status(edited, "other") == 200) < 2
        assert [each["name"] for each in edited.client.get("/runtimes").json()["runtimes"]] == ["only", "other"]
        small.write_text(before)
        assert until(lambda: status(edited, "other") == 404) < 2


def test_a_changed_limit_is_that_of_the_next_run(edited: Server, small: Path) -> None:
    text = small.read_text()
    with crowd(edited):
        for seconds in (3.0, 4.0):
            small.write_text(with_limits(text, f"wall_time = {seconds}"))
            assert until(partial(has_wall_time, edited, seconds)) < 2
    result = edited.client.post("/eval", json={"input": "import time; time.sleep(9)"}).json()
    assert result["status"] == "timeout"
    assert result["usage"]["wall_time"] < 5


def test_a_tmpfs_comes_and_goes(edited: Server, small: Path) -> None:
    text = small.read_text()

    def has_tmp() -> bool:
        code = "import os; print(os.path.ismount('/tmp'))"
        return "True" in edited.client.post("/eval", json={"input": code}).json()["stdout"]

    with crowd(edited):
        small.write_text(text.replace("mounts = [", 'mounts = [{ target = "/tmp", tmpfs = "1MiB" }, '))
        until(has_tmp)
        (runtime,) = edited.client.get("/runtimes").json()["runtimes"]
        assert runtime["tmpfs"] == [{"target": "/tmp", "size": 1 << 20}]
        small.write_text(text)
        until(lambda: not has_tmp())
        assert edited.client.get("/runtimes").json()["runtimes"][0]["tmpfs"] == []


def test_a_loopback_interface_comes_and_goes(edited: Server, small: Path) -> None:
    text = small.read_text()

    def has_loopback() -> bool:
        code = "import socket; s = socket.create_server(('127.0.0.1', 0)); socket.create_connection(s.getsockname())"
        told: str = edited.client.post("/eval", json={"input": code}).json()["status"]
        return told == "ok"

    assert not has_loopback()
    with crowd(edited):
        small.write_text(f"{text}\n[defaults]\nloopback = true\n")
        until(has_loopback)
        assert edited.client.get("/runtimes").json()["runtimes"][0]["loopback"] is True
        small.write_text(text)
        until(lambda: not has_loopback())


def test_a_broken_file_changes_nothing(edited: Server, small: Path) -> None:
    text, served = small.read_text(), digest(edited)
    with crowd(edited):
        for number in range(10):
            small.write_text(f"{text}\nbroken[{number}\n")
            until(partial(has_refused, edited, number + 1))
            assert digest(edited) == served
    assert "is not TOML" in edited.log.read_text()


def test_a_runtime_that_serves_is_not_lost_to_a_mistake(edited: Server, small: Path) -> None:
    text = small.read_text()
    executable = load(small).runtimes["only"].executable
    small.write_text(text.replace(f'"{executable}"', '"/no/such/python"'))
    until(partial(has_refused, edited, 1))
    assert status(edited, "only") == 200
    logged = edited.log.read_text()
    assert "cannot evaluate: executable: no mount contains '/no/such/python'; correct the path, or add a" in logged
    assert "runtime only is unavailable" not in logged, "the runtime is available"


def test_a_reload_that_cannot_write_its_files_is_refused(small: Path, tmp_path: Path) -> None:
    text = small.read_text().replace("[server]\n", f'[server]\nstate = "{tmp_path}/state"\n', 1)
    small.write_text(f"{text}\n[defaults.limits]\nwall_time = 5.0\n")
    with running_server(small, tmp_path / "log") as server:
        (folder,) = (each for each in (tmp_path / "state").iterdir() if each.is_dir())
        folder.rename(tmp_path / "elsewhere")
        small.write_text(small.read_text().replace("wall_time = 5.0", "wall_time = 4.0"))
        until(partial(has_refused, server, 1))
        assert server.client.get("/healthz").status_code == 200
        assert "the files of a runtime cannot be written" in server.log.read_text()
        (tmp_path / "elsewhere").rename(folder)


def test_a_new_runtime_that_cannot_evaluate_is_told(edited: Server, small: Path) -> None:
    small.write_text(f'default = "only"\n{small.read_text()}\n[runtimes.broken]\nexecutable = "/no/such/python"\n')
    until(lambda: "runtime broken is unavailable: executable: no mount" in edited.log.read_text())
    assert status(edited, "only") == 200


def test_a_runtime_that_forks_does_not_start_cold_for_a_mistake(edited: Server, small: Path) -> None:
    text = small.read_text()
    await_fork_servers(edited.client)
    small.write_text(text + 'preload = ["json", "nmpy"]\n')
    until(partial(has_refused, edited, 1))
    assert edited.client.get("/runtimes").json()["runtimes"][0]["start"] == "fork"
    reason = "would start cold: the fork server did not start: preload: nmpy cannot be imported: ModuleNotFoundError"
    assert reason in edited.log.read_text()


def test_a_new_runtime_that_does_not_work_is_listed_with_the_reason(edited: Server, small: Path) -> None:
    small.write_text(with_another(small) + '\n[runtimes.broken]\nexecutable = "/no/such/python"\n')
    until(lambda: status(edited, "other") == 200)
    told = {each["name"]: each for each in edited.client.get("/runtimes").json()["runtimes"]}
    assert told["broken"]["status"] == "unavailable"
    assert "/no/such/python" in told["broken"]["reason"]


def test_what_runs_or_waits_ends_as_it_began(edited: Server, small: Path) -> None:
    text = small.read_text()
    small.write_text(with_another(small))
    until(lambda: status(edited, "other") == 200)
    answers: list[dict[str, object]] = []

    def evaluate() -> None:
        url = f"{edited.client.base_url}/eval/other"
        answers.append(edited.client.post(url, json={"input": "import time; time.sleep(1.5); print(2)"}).json())

    threads = [threading.Thread(target=evaluate) for _ in range(2 * (os.cpu_count() or 1))]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    small.write_text(text)
    until(lambda: status(edited, "other") == 404)
    for thread in threads:
        thread.join()
    assert [answer.get("stdout") for answer in answers] == ["2\n"] * len(threads)


@pytest.mark.parametrize("way", ["in place", "renamed", "in pieces", "removed and made anew", "by a link"])
def test_however_an_editor_saves(edited: Server, small: Path, way: str) -> None:
    changed = with_limits(small.read_text(), "wall_time = 3.0")
    draft = small.with_name("draft~")
    match way:
        case "in place":
            small.write_text(changed)
        case "renamed":
            draft.write_text(changed)
            draft.replace(small)
        case "in pieces":
            with small.open("w") as file:
                for piece in re.findall(r"(?s).{1,200}", changed):
                    file.write(piece)
                    file.flush()
                    time.sleep(0.03)
        case "removed and made anew":
            small.unlink()
            time.sleep(0.3)
            small.write_text(changed)
        case _:
            draft.write_text(changed)
            small.unlink()
            small.symlink_to(draft)
    until(partial(has_wall_time, edited, 3.0))


def test_the_fork_servers_of_unchanged_runtimes_stay_warm(edited: Server, small: Path) -> None:
    def starts() -> int:
        return int(
            re.findall(
                r'fork_server_starts_total\{reason="first",runtime="only"\} (\d+)', edited.client.get("/metrics").text
            )[0]
        )

    before = starts()
    small.write_text("# a comment, another alias, and a neighbour\n" + with_another(small) + 'aliases = ["o"]\n')
    until(lambda: status(edited, "o") == 200)
    assert starts() == before
    edited.process.send_signal(signal.SIGHUP)
    until(lambda: edited.log.read_text().count("registry reloaded") == 2)
    assert starts() == before


def test_keys_that_take_a_restart_are_named(edited: Server, small: Path) -> None:
    small.write_text(small.read_text().replace("[server]\n", '[server]\nworkers = 2\nconcurrency = 3\nlog = "json"\n'))
    until(lambda: "restart the server to apply: server.workers, server.log" in edited.log.read_text())
    assert status(edited, "only") == 200


def test_the_number_of_evaluations_at_once_can_change(edited: Server, small: Path) -> None:
    text = small.read_text()
    small.write_text(text.replace("[server]\n", "[server]\nconcurrency = 1\nqueue = 0\n"))
    until(lambda: digest(edited) == load(small).digest)
    codes: list[int] = []
    sleep = {"input": "import time; time.sleep(1)"}
    threads = [
        threading.Thread(target=lambda: codes.append(edited.client.post("/eval", json=sleep).status_code))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(codes) == [200, 503, 503]


def test_workers_reload_together(small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text().replace("[server]\n", "[server]\nworkers = 2\nconcurrency = 2\n"))
    with running_server(small, tmp_path / "log") as server:
        await_fork_servers(server.client)
        small.write_text(with_another(small))
        until(lambda: server.log.read_text().count("registry reloaded") == 2)
        assert all(status(server, "other") == 200 for _ in range(20))
        numbers = server.client.get("/metrics").text
        assert re.findall(r'reloads_total\{outcome="reloaded"\} (\d+)', numbers) == ["1"]
        assert len(set(re.findall(r'process_open_fds\{pid="(\d+)"\}', numbers))) == 2
        assert re.findall(r'evals_total\{runtime="other",status="ok"\} (\d+)', numbers) == ["20"]


def test_a_worker_has_the_others_do_what_it_is_asked_for_and_it_counts_once(small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text().replace("[server]\n", "[server]\nworkers = 3\nconcurrency = 3\n"))

    def has_starts(count: int) -> bool:
        numbers = re.findall(r"fork_server_starts_total\{.*\} (\d+)", server.client.get("/metrics").text)
        return sum(map(int, numbers)) == count

    def has_reloads(count: int) -> bool:
        return server.log.read_text().count("registry reloaded") == count

    def ask(path: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}", "Connection": "close"}  # any worker may get it
        assert server.client.post(f"/admin/{path}", headers=headers).status_code == 200

    with running_server(small, tmp_path / "log", {"SNEKHOUSE_ADMIN_TOKEN": TOKEN}) as server:
        until(partial(has_starts, 3))
        for count in range(2, 5):
            ask("runtimes/only/probe")
            until(partial(has_starts, 3 * count))
        for count in range(1, 4):
            ask("reload")
            until(partial(has_reloads, 3 * count))
            reloads = re.findall(r'reloads_total\{outcome="reloaded"\} (\d+)', server.client.get("/metrics").text)
            assert reloads == [str(count)]
        server.process.send_signal(signal.SIGHUP)
        until(partial(has_reloads, 12))

"""The files of a session, read, written and removed by their paths."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from urllib.parse import quote

import httpx
import pytest

from serving import SLOWNESS
from sessions.conftest import NewSession, Session

CONTENT = bytes(range(256)) * 4000


def url(session: Session, path: str = "") -> str:
    return f"/sessions/{session.id}/files" + (f"/{quote(path)}" if path else "")


def put(session: Session, path: str, content: bytes) -> httpx.Response:
    return session.client.put(url(session, path), content=content)


def get(session: Session, path: str, **headers: str) -> httpx.Response:
    return session.client.get(
        url(session, path), headers={name.replace("_", "-"): text for name, text in headers.items()}
    )


def remove(session: Session, path: str) -> httpx.Response:
    return session.client.delete(url(session, path))


@pytest.mark.parametrize("path", ["a", "deep/er/b.txt", ".hidden", "with space & é?.txt", "100%", "a+b", "d//e"])
def test_a_file_that_is_written_can_be_read_by_cells_and_clients(session: Session, path: str) -> None:
    assert put(session, path, CONTENT).status_code == 204
    assert session.value(f"len(open({path!r}, 'rb').read())") == str(len(CONTENT))
    answer = get(session, path)
    assert answer.status_code == 200
    assert answer.content == CONTENT
    assert put(session, path, b"").status_code == 204
    assert get(session, path).content == b""


def test_a_written_file_is_no_output_of_the_next_cell_unless_it_changes(session: Session) -> None:
    put(session, "a", b"1")
    assert session.run("1")["files"] == []
    assert [file["path"] for file in session.run("open('a', 'a').write('2')")["files"]] == ["a"]


def test_writing_a_file_changes_no_state(session: Session) -> None:
    session.run("x = 1")
    before = session.show().json()
    put(session, "a", b"1")
    after = session.show().json()
    assert (after["execution_count"], after["checkpoints"]) == (before["execution_count"], before["checkpoints"])
    assert session.value("x") == "1"


def test_a_state_with_threads_writes_files_itself(session: Session) -> None:
    session.run("import threading; stop = threading.Event(); t = threading.Thread(target=stop.wait); t.start(); x = 3")
    assert put(session, "a", b"12").status_code == 204
    assert put(session, "a/b", b"12").status_code == 400
    assert session.value("x, open('a').read(), t.is_alive()") == "(3, '12', True)"
    session.run("stop.set(); t.join()")


def test_a_file_that_cannot_be_written_costs_a_state_with_threads_nothing(session: Session) -> None:
    session.run("import threading; stop = threading.Event(); t = threading.Thread(target=stop.wait); t.start(); x = 3")
    files = [{"path": "a", "content": "MQ=="}, {"path": "a/b", "content": "MQ=="}, {"path": "c", "content": "MQ=="}]
    answer = session.run("x = 4", files=files)
    assert (answer["status"], answer["state"], answer["execution_count"]) == ("file_error", "rolled_back", 1)
    assert session.value("x, t.is_alive()") == "(3, True)"
    session.run("stop.set(); t.join()")


def test_files_are_listed_by_the_rules_of_answers(session: Session) -> None:
    session.run(
        "import os\nos.makedirs('d/e')\nopen('d/e/f', 'w').write('123')\nopen('.hidden', 'w').close()\n"
        "os.symlink('d/e/f', 'link')\nos.symlink('/etc/passwd', 'out')\nos.mkfifo('pipe')\nopen('a', 'w').close()"
    )
    listed = session.client.get(url(session)).json()
    assert [(file["path"], file["size"]) for file in listed["files"]] == [("a", 0), ("d/e/f", 3), ("link", 3)]
    assert abs(listed["files"][0]["modified"] - time.time()) < 60
    assert listed["truncated"] is False


def test_a_list_of_long_paths_is_cut(session: Session) -> None:
    session.run(
        "import os\nfor _ in range(15): os.mkdir('n' * 250); os.chdir('n' * 250)\n"
        "for n in range(1000): os.close(os.open(str(n), os.O_CREAT))\nos.chdir('/home')"
    )
    answer = session.client.get(url(session))
    assert answer.json()["truncated"] is True
    assert 1 << 20 < len(answer.content) < 3 << 20


def test_slow_lists_leave_threads_to_evaluations(session: Session) -> None:
    session.run(
        "import os\nos.mkdir('d')\nfor n in range(39): os.symlink('d/../' * 700 + f'l{n + 1}', f'l{n}')\n"
        "for n in range(2000): os.symlink('l0', f'x{n}')"
    )
    with ThreadPoolExecutor(60) as pool:
        for _ in range(60):
            pool.submit(_give_up_soon, session)
        time.sleep(1)
        begin = time.monotonic()
        answer = session.client.post("/eval", json={"input": "open('x', 'w').close()"}).json()
        took = time.monotonic() - begin
    assert [file["path"] for file in answer["files"]] == ["x"]
    assert took < 3 * SLOWNESS, "it waited for a thread"


def _give_up_soon(session: Session) -> None:
    with suppress(httpx.TimeoutException), httpx.Client(base_url=session.client.base_url, timeout=6) as client:
        client.get(url(session))


def test_a_long_list_is_cut(session: Session) -> None:
    session.run("for number in range(10_001): open(f'{number:05}', 'w').close()", limits={"output": 1000})
    listed = session.client.get(url(session)).json()
    assert (len(listed["files"]), listed["truncated"]) == (10_000, True)


RANGES = {
    "bytes=0-": (200, 0, 10),
    "bytes=0-3": (206, 0, 4),
    "bytes=4-4": (206, 4, 5),
    "bytes=7-": (206, 7, 10),
    "bytes=7-100": (206, 7, 10),
    "bytes=-3": (206, 7, 10),
    "bytes=-100": (200, 0, 10),
    "bytes=5-4": (200, 0, 10),
    "bytes=10-": (416, 0, 0),
    "bytes=-0": (416, 0, 0),
    "bytes=1-2,5-6": (200, 0, 10),
    "bytes=-": (200, 0, 10),
    "lines=1-2": (200, 0, 10),
    "bytes=99999999999999999999-": (200, 0, 10),
}
"""Range: status, first byte and the byte after the last one, of a file of ten."""


@pytest.mark.parametrize("asked", RANGES)
def test_a_range_of_a_file_is_sent(session: Session, asked: str) -> None:
    put(session, "a", b"0123456789")
    status, start, stop = RANGES[asked]
    answer = get(session, "a", Range=asked)
    assert answer.status_code == status, answer.text
    if status == 416:
        assert answer.headers["content-range"] == "bytes */10"
        return
    assert answer.content == b"0123456789"[start:stop]
    assert answer.headers.get("content-range") == (f"bytes {start}-{stop - 1}/10" if status == 206 else None)


def test_a_range_of_another_version_is_not_sent(session: Session) -> None:
    put(session, "a", b"0123456789")
    version = get(session, "a").headers["etag"]
    assert get(session, "a", Range="bytes=1-2", If_Range=version).content == b"12"
    put(session, "a", b"abcdefghijk")
    assert get(session, "a", Range="bytes=1-2", If_Range=version).content == b"abcdefghijk"


def test_head_has_the_size_and_no_content(session: Session) -> None:
    put(session, "a", b"0123456789")
    answer = session.client.head(url(session, "a"))
    assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "10", b"")


@pytest.mark.parametrize("path", ["none", "d", "pipe", "out", "loop", "unreadable/x", "../etc/passwd", "/etc/passwd"])
def test_what_is_no_file_of_the_home_is_not_sent(session: Session, path: str) -> None:
    session.run(
        "import os\nos.mkdir('d')\nos.mkfifo('pipe')\nos.symlink('/etc/passwd', 'out')\nos.symlink('loop', 'loop')\n"
        "os.mkdir('unreadable')"
    )
    answer = session.client.get(f"/sessions/{session.id}/files/{quote(path, safe='')}")
    assert answer.status_code == (400 if path.startswith(("..", "/")) else 404), answer.text


def test_files_and_empty_folders_are_removed(session: Session) -> None:
    session.run("import os\nos.makedirs('d/e')\nopen('d/e/f', 'w').close()\nos.symlink('d/e/f', 'link')")
    assert remove(session, "d/e").status_code == 400
    assert remove(session, "link").status_code == 204
    assert session.value("os.path.exists('d/e/f')") == "True"
    assert remove(session, "d/e/f").status_code == 204
    assert remove(session, "d/e/f").status_code == 404
    assert remove(session, "d/e").status_code == 204
    assert session.value("os.listdir()") == "['d']"


@pytest.mark.parametrize("path", ["out/x", "../x", "loop/x"])
def test_nothing_outside_of_the_home_is_removed(session: Session, path: str) -> None:
    session.run("import os\nos.symlink('/dev/shm', 'out')\nopen('/dev/shm/x', 'w').close()\nos.symlink('loop', 'loop')")
    answer = session.client.delete(f"/sessions/{session.id}/files/{quote(path, safe='')}")
    assert answer.status_code in {400, 404}
    assert session.value("os.path.exists('/dev/shm/x')") == "True"


@pytest.mark.parametrize(
    ("path", "reason"), [("a/b", "File exists"), ("d", "Is a directory"), ("n" * 300, "File name too long")]
)
def test_a_file_that_cannot_be_written_is_refused_with_the_reason(session: Session, path: str, reason: str) -> None:
    session.run("import os\nopen('a', 'w').close()\nos.mkdir('d')")
    answer = put(session, path, b"1")
    assert answer.status_code == 400
    assert reason in answer.json()["description"]
    assert session.value("1") == "1"


def test_a_home_that_is_full_takes_no_more(session: Session) -> None:
    answers = [put(session, f"big{number}", bytes(16 << 20)) for number in range(8)]
    codes = {answer.status_code for answer in answers}
    assert 400 in codes, codes
    description = next(answer.json()["description"] for answer in answers if answer.status_code == 400)
    assert "No space left on device" in description or "does not fit into limits.memory" in description
    assert session.value("1") == "1"


def test_a_body_above_the_limit_is_refused(session: Session) -> None:
    def pieces() -> object:
        for _ in range(65):
            yield bytes(1 << 20)

    answer = session.client.put(url(session, "big"), content=pieces())  # type: ignore[arg-type]
    assert answer.status_code == 413
    assert get(session, "big").status_code == 404


def test_a_file_can_be_read_while_a_cell_runs(session: Session) -> None:
    put(session, "a", CONTENT)
    running = threading.Thread(target=session.run, args=("import time; time.sleep(1)",))
    running.start()
    begin = time.monotonic()
    assert get(session, "a").content == CONTENT
    assert time.monotonic() - begin < 1
    running.join()


def test_a_file_that_shrinks_while_it_is_sent_ends_the_connection(new_session: NewSession) -> None:
    session = new_session()
    put(session, "a", bytes(24 << 20))
    with (
        httpx.Client(base_url=session.client.base_url) as client,
        client.stream("GET", url(session, "a")) as answer,
    ):
        pieces = answer.iter_raw()
        next(pieces)
        session.run("open('a', 'w').close()")
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)
    assert session.value("1") == "1"


def test_files_of_a_session_that_has_ended_are_gone(session: Session) -> None:
    put(session, "a", b"1")
    session.end()
    for answer in (get(session, "a"), put(session, "a", b"1"), remove(session, "a"), session.client.get(url(session))):
        assert answer.status_code == 410


def test_head_takes_no_range(session: Session) -> None:
    put(session, "a", b"0123456789")
    answer = session.client.head(url(session, "a"), headers={"Range": "bytes=20-"})
    assert (answer.status_code, answer.headers["content-length"]) == (200, "10")


def test_a_client_that_leaves_while_it_sends_costs_a_state_with_threads_nothing(session: Session) -> None:
    session.run("import threading; stop = threading.Event(); t = threading.Thread(target=stop.wait); t.start(); x = 3")
    for _ in range(5):
        with (
            httpx.Client(base_url=session.client.base_url, timeout=0.02) as impatient,
            suppress(httpx.TimeoutException),
        ):
            impatient.put(url(session, "a"), content=CONTENT * 10)
    assert session.value("x, t.is_alive()") == "(3, True)"
    session.run("stop.set(); t.join()")

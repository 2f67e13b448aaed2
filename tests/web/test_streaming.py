"""Output that comes while a program runs, as server-sent events and as lines of JSON."""

import base64
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from conftest import UIDS
from leftovers import guests
from serving import PATIENCE, SLOWNESS, Server, running_server
from sessions.conftest import open_session

FORMATS = {"application/x-ndjson", "text/event-stream"}


@pytest.fixture(params=["forking_server", "cold_server"])
def either(request: pytest.FixtureRequest) -> Server:
    """A server that forks, and one that starts evaluations cold."""
    found: Server = request.getfixturevalue(request.param)
    return found


@contextmanager
def streamed(client: httpx.Client, path: str, kind: str = "application/x-ndjson", **body: Any) -> Iterator[Any]:
    """Send a request, and yield its events as they come: the name, and the fields."""
    with client.stream("POST", path, json=body, headers={"Accept": kind}) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == kind
        yield _lines(answer) if kind.endswith("ndjson") else _sse(answer)


def _lines(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    for line in answer.iter_lines():
        fields = json.loads(line)
        yield fields.pop("event"), fields


def _sse(answer: httpx.Response) -> Iterator[tuple[str, dict[str, Any]]]:
    name = "keep-alive"
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))
        elif line.startswith(":"):
            yield "keep-alive", {}


def collected(
    client: httpx.Client, code: str, path: str = "/eval", **body: Any
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what a program prints, by stream, and the last event."""
    with streamed(client, path, input=code, **body) as events:
        found = list(events)
    assert [name for name, _ in found[:1]] == ["start"]
    assert [name for name, _ in found].count("end") == 1
    name, end = found[-1]
    assert name == "end"
    texts = {"stdout": "", "stderr": ""}
    for name, fields in found[1:-1]:
        texts[name] += fields["text"]
    return texts, end


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_output_comes_while_the_program_runs(either: Server, kind: str) -> None:
    code = "import time\nfor number in range(4):\n    print(number, flush=True)\n    time.sleep(0.3)"
    begin, arrivals, times = time.monotonic(), [], []
    with streamed(either.client, "/eval", kind, input=code) as events:
        for name, fields in events:
            if name == "stdout":
                arrivals.append((fields["text"], time.monotonic() - begin))
                times.append(fields["time"])
    assert "".join(text for text, _ in arrivals) == "0\n1\n2\n3\n"
    assert arrivals[0][1] < arrivals[-1][1] - 0.6
    assert times == sorted(times)
    assert times[-1] - times[0] > 0.6


@pytest.mark.parametrize("encoding", ["utf-8", "base64"])
def test_every_byte_arrives_once_and_in_order(either: Server, encoding: str) -> None:
    code = (
        "import os\ntext = ''.join('%d é€😀\\r\\n\\u2028' % number for number in range(40_000))\n"
        "content = text.encode()\nfor at in range(0, len(content), 8191): os.write(1, content[at : at + 8191])"
    )
    with streamed(either.client, "/eval", input=code, encoding=encoding) as events:
        pieces = [fields["text"] for name, fields in events if name == "stdout"]
    content = b"".join(map(base64.b64decode, pieces)) if encoding == "base64" else "".join(pieces).encode()
    text = "".join(f"{number} é€😀\r\n\u2028" for number in range(40_000))
    assert content == text.encode()
    assert len(pieces) > 10


def test_bytes_that_are_not_text_are_replaced(either: Server) -> None:
    code = r"import os; os.write(1, b'a\xff\xc3'); import time; time.sleep(0.2); os.write(1, b'\xa9b\xe2\x82')"
    texts, end = collected(either.client, code)
    assert texts["stdout"] == "a�éb�"
    assert (end["status"], end["returncode"]) == ("ok", 0)


def test_stderr_is_apart_if_the_request_says_so(either: Server) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr)"
    texts, end = collected(either.client, code, separate_stderr=True)
    assert (texts, end["stderr"]) == ({"stdout": "out\n", "stderr": "err\n"}, "")
    texts, end = collected(either.client, code)
    assert (sorted(texts["stdout"].split()), texts["stderr"], end["stderr"]) == (["err", "out"], "", None)


ENDINGS = {
    "ok": ("print('x')\nopen('f', 'w').write('1')", "ok", 0),
    "an exception": ("print('x')\n1 / 0", "error", 1),
    "time": ("print('x', flush=True)\nwhile True: pass", "timeout", 137),
    "output": ("print('x')\nwhile True: print('a' * 999)", "output_limit", 143),
    "memory": ("print('x', flush=True)\nx = bytearray(400 << 20)", "out_of_memory", 137),
    "a signal": ("print('x', flush=True)\nimport os; os.abort()", "signaled", None),
}


@pytest.mark.parametrize("title", ENDINGS)
def test_the_last_event_is_the_answer_without_what_was_streamed(either: Server, title: str) -> None:
    code, status, returncode = ENDINGS[title]
    texts, end = collected(either.client, code, limits={"wall_time": 1.0, "output": 100_000})
    plain = either.client.post("/eval", json={"input": code, "limits": {"wall_time": 1.0, "output": 100_000}}).json()
    assert texts["stdout"] == plain["stdout"]
    assert texts["stdout"].startswith("x\n")
    assert (end["stdout"], end["status"]) == ("", status)
    assert returncode in {None, end["returncode"]}
    for field in ("status", "returncode", "signal", "message", "error", "truncated", "files", "encoding", "limits"):
        assert end[field] == plain[field], field


def test_files_that_cannot_be_written_are_told(either: Server) -> None:
    files = [{"path": "a", "content": ""}, {"path": "a/b", "content": ""}]
    texts, end = collected(either.client, "1", files=files)
    assert "a/b" in texts["stdout"]
    assert (end["status"], end["returncode"]) == ("file_error", None)


def test_a_traceback_is_found_after_much_output(either: Server) -> None:
    code = "for _ in range(9000): print('a' * 99)\nraise ValueError('late')"
    _, end = collected(either.client, code)
    assert end["error"] == {"name": "ValueError", "value": "late", "line": 2}


def test_cells_stream_as_well(either: Server) -> None:
    session = open_session(either.client)
    try:
        texts, end = collected(either.client, "print('x' * 200_000)\ny = 1\n6 * 7", f"/sessions/{session.id}/eval")
        assert texts["stdout"] == "x" * 200_000 + "\n"
        assert (end["stdout"], end["state"], end["result"], end["execution_count"]) == ("", "kept", {"text": "42"}, 1)
        assert session.value("y") == "1"
    finally:
        session.end()


def test_a_session_that_is_ended_while_a_cell_streams_is_gone(either: Server) -> None:
    session = open_session(either.client)
    body = {"input": "import time; print('begun', flush=True); time.sleep(5)"}
    with streamed(either.client, f"/sessions/{session.id}/eval", **body) as events:
        while next(events)[0] != "stdout":
            pass
        session.end()
        *_, (_, last) = events
    assert last["error"]["title"] == "Gone"


def test_a_value_streams_as_well(either: Server) -> None:
    texts, end = collected(either.client, "print('x')\n6 * 7", result=True)
    assert (texts["stdout"], end["result"]) == ("x\n", {"text": "42"})


def test_a_program_that_is_silent_is_kept_alive(client: httpx.Client) -> None:
    code, limits = "import time; time.sleep(5.5)", {"wall_time": 6.0}
    for kind in FORMATS:
        with streamed(client, "/eval", kind, input=code, limits=limits) as events:
            assert [name for name, _ in events] == ["start", "keep-alive", "end"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"inpt": "1"}, 400), ({"input": "1", "runtime": "none"}, 404), ({"input": "1", "args": 1}, 400)],
)
def test_a_request_that_is_refused_gets_an_ordinary_answer(
    client: httpx.Client, body: dict[str, Any], status: int
) -> None:
    for kind in FORMATS:
        answer = client.post("/eval", json=body, headers={"Accept": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", "text/html, */*", "application/json, text/event-stream;q=0"]
)
def test_only_who_asks_for_events_gets_them(client: httpx.Client, accept: str) -> None:
    answer = client.post("/eval", json={"input": "print(1)"}, headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/json"


def test_a_full_queue_is_an_ordinary_answer_before_the_first_event(small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text().replace("[server]\n", "[server]\nconcurrency = 1\nqueue = 0\ndrain = 1.0\n"))
    with (
        running_server(small, tmp_path / "log") as own,
        streamed(own.client, "/eval", input="import time; time.sleep(6)") as events,
    ):
        assert next(events)[0] == "start"
        with httpx.Client(base_url=own.client.base_url, timeout=PATIENCE) as other:
            for kind in FORMATS:
                answer = other.post("/eval", json={"input": "1"}, headers={"Accept": kind})
                assert (answer.status_code, answer.headers["content-type"]) == (503, "application/json")
        own.process.terminate()
        name, last = list(events)[-1]
        assert (name, last["error"]["title"]) == ("end", "Service Unavailable")


def test_proxies_are_told_not_to_buffer(client: httpx.Client) -> None:
    answer = client.post("/eval", json={"input": "1"}, headers={"Accept": "text/event-stream"})
    assert (answer.headers["x-accel-buffering"], answer.headers["cache-control"]) == ("no", "no-store")


@pytest.mark.alone
def test_a_client_that_goes_away_ends_its_program(server: Server) -> None:
    with httpx.Client(base_url=server.client.base_url, timeout=PATIENCE) as client:
        body = {"input": "import time\nwhile True: print(1, flush=True); time.sleep(0.1)"}
        with client.stream("POST", "/eval", json=body, headers={"Accept": "text/event-stream"}) as answer:
            next(answer.iter_raw())
    deadline = time.monotonic() + 3 * SLOWNESS

    while guests(*UIDS) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline, "the program still runs"


def _stalled(server: Server, code: str) -> socket.socket:
    """Send a request for events, and read nothing of the answer."""
    url = server.client.base_url
    client = socket.create_connection((url.host, url.port or 80))
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    body = json.dumps({"input": code}).encode()
    head = f"POST /eval HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


@pytest.mark.alone
def test_a_stalled_reader_slows_its_program_and_nobody_else(server: Server) -> None:
    flood = "import os\nwhile True: os.write(1, b'x' * 65536)"
    stalled = [_stalled(server, flood) for _ in range(2)]
    try:
        time.sleep(1)
        answer = server.client.post("/eval", json={"input": "print(1)"}).json()
        assert answer["stdout"] == "1\n"
    finally:
        for each in stalled:
            each.close()


@pytest.mark.alone
def test_many_streams_at_once_each_get_their_own_output(server: Server) -> None:
    problems: list[str] = []

    def one(number: int) -> None:
        try:
            with httpx.Client(base_url=server.client.base_url, timeout=PATIENCE) as client:
                texts, _ = collected(client, f"import time\nfor _ in range(3): print({number}, flush=True)")
                assert texts["stdout"] == f"{number}\n" * 3
        except Exception as error:  # noqa: BLE001 - of a thread
            problems.append(repr(error))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(60)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not problems

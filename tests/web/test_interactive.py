"""Input, signals and output over a WebSocket while a program runs."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from conftest import UIDS
from leftovers import guests
from serving import PATIENCE, SLOWNESS, Server, running_server

ECHO = "while True:\n    try: print('got', input())\n    except EOFError: break\nprint('end')"


@pytest.fixture(params=["forking_server", "cold_server"])
def either(request: pytest.FixtureRequest) -> Server:
    """A server that forks, and one that starts evaluations cold."""
    found: Server = request.getfixturevalue(request.param)
    return found


@contextmanager
def connected(server: Server, runtime: str = "latest", **options: Any) -> Iterator[ClientConnection]:
    """Connect; runtimes are named as discovery names them."""
    url = server.client.base_url
    options.setdefault("open_timeout", PATIENCE)
    with connect(f"ws://{url.host}:{url.port}/eval/{runtime}/interactive", **options) as client:
        yield client


def test_clients_that_send_nothing_keep_nobody_out(small: Path, tmp_path: Path) -> None:
    text = small.read_text().replace("[server]\n", '[server]\nmax_in_transit = "16MiB"\n', 1)
    small.write_text(text if "[server]" in text else f'[server]\nmax_in_transit = "16MiB"\n{text}')
    with running_server(small, tmp_path / "log") as server, ExitStack() as idle:
        for _ in range(4):
            idle.enter_context(connected(server, "only"))
        time.sleep(1.5)  # until the server knows that they are slow
        answer = server.client.post("/eval", json={"input": "print(1)", "stdin": "x" * 200_000})
    assert answer.status_code == 200, answer.text


def test_a_route_that_does_not_exist_is_404(forking_server: Server) -> None:
    url = forking_server.client.base_url
    for path in ("eval/interactive", "nope"):
        with pytest.raises(InvalidStatus) as caught, connect(f"ws://{url.host}:{url.port}/{path}"):
            pass
        assert caught.value.response.status_code == 404
        assert json.loads(caught.value.response.body)["title"] == "Not Found"


def send(client: ClientConnection, **message: Any) -> None:
    client.send(json.dumps(message))


def receive(client: ClientConnection) -> dict[str, Any]:
    return dict(json.loads(client.recv(timeout=PATIENCE)))


def until(client: ClientConnection, text: str) -> str:
    """Receive output until a text has come; return all of it."""
    found = ""
    while text not in found:
        event = receive(client)
        assert event["event"] in {"start", "stdout"}, event
        found += event.get("text", "")
    return found


def end(client: ClientConnection) -> dict[str, Any]:
    while (event := receive(client))["event"] != "end":
        assert event["event"] in {"start", "stdout", "stderr"}, event
    with pytest.raises(ConnectionClosed):
        client.recv(timeout=PATIENCE)
    return event


def test_a_program_answers_each_line_as_it_comes(either: Server) -> None:
    for runtime in either.client.get("/runtimes").json()["runtimes"]:
        with connected(either, runtime["name"]) as client:
            send(client, input=ECHO)
            for word in ("one", "two é"):
                send(client, stdin=f"{word}\n")
                assert until(client, f"got {word}\n")
            send(client, stdin=None)
            assert until(client, "end\n")
            answer = end(client)
        assert (answer["status"], answer["returncode"], answer["stdout"]) == ("ok", 0, "")
        assert answer["runtime"] == runtime["name"]


def test_the_stdin_of_the_request_comes_first(either: Server) -> None:
    with connected(either) as client:
        send(client, input=ECHO, stdin="first\n")
        assert until(client, "got first\n")
        send(client, stdin="second\n")
        send(client, stdin=None)
        assert "got second" in until(client, "end\n")


@pytest.mark.parametrize(
    ("name", "status", "returncode"), [("SIGINT", "error", 130), ("SIGKILL", "signaled", 137), ("SIGTERM", "error", 7)]
)
def test_a_signal_reaches_the_program(either: Server, name: str, status: str, returncode: int) -> None:
    code = (
        "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\nprint('ready')\ntime.sleep(5)"
    )
    with connected(either) as client:
        send(client, input=code)
        until(client, "ready")
        send(client, signal=name)
        answer = end(client)
    assert (answer["status"], answer["returncode"]) == (status, returncode)


def test_files_limits_and_stderr_are_as_of_eval(either: Server) -> None:
    with connected(either) as client:
        code = "import sys; print(open('in').read(), file=sys.stderr); open('out', 'w').write('x'); input()"
        files = [{"path": "in", "content": "aGVsbG8="}]
        send(client, input=code, files=files, separate_stderr=True, limits={"wall_time": 1.0})
        answer = end(client)
    assert (answer["status"], answer["returncode"]) == ("timeout", 137)
    assert [file["path"] for file in answer["files"]] == ["out"]


def test_much_input_waits_for_the_program_and_arrives_whole(either: Server) -> None:
    code = "import sys, time, hashlib; time.sleep(0.5); print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    piece = "0123456789abcdef" * 4096
    with connected(either) as client:
        send(client, input=code)
        for _ in range(64):
            send(client, stdin=piece)
        send(client, stdin=None)
        import hashlib

        assert until(client, "\n").strip() == hashlib.sha256((piece * 64).encode()).hexdigest()


def test_input_after_the_end_of_the_program_costs_nothing(either: Server) -> None:
    with connected(either) as client:
        send(client, input="import os; os.close(0); print('closed'); import time; time.sleep(0.5)")
        until(client, "closed")
        for _ in range(10):
            send(client, stdin="x" * 100_000)
        assert end(client)["status"] == "ok"
        begin = time.monotonic()
    assert time.monotonic() - begin < 2 * SLOWNESS, "the server did not read the client's close frame"


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("nonsense", "Invalid JSON"),
        ('{"inpt": "1"}', "one of 'input' and 'args' is required"),
        ('{"input": "1", "limits": {"wall_time": 60}}', "is above this runtime's limit"),
        ('{"input": "1", "result": true}', "'result' is not supported here"),
    ],
)
def test_a_request_that_is_refused_is_told_before_the_connection_closes(
    server: Server, message: str, told: str
) -> None:
    with connected(server) as client:
        client.send(message)
        event = receive(client)
        assert event["event"] == "end"
        assert told in event["error"]["description"]
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


def test_an_unknown_runtime_is_told(server: Server) -> None:
    with connected(server, "none") as client:
        event = receive(client)
        assert event["error"]["title"] == "Not Found"


def test_a_bad_message_is_told_and_the_program_goes_on(server: Server) -> None:
    with connected(server) as client:
        send(client, input=ECHO)
        send(client, stdn="x")
        while (event := receive(client))["event"] != "error":
            pass
        assert "stdn: unknown; did you mean 'stdin'?" in event["error"]["description"]
        send(client, signal="SIGSEGV")
        while receive(client)["event"] != "error":
            pass
        send(client, stdin="still\n")
        assert until(client, "got still\n")


def test_a_message_that_is_too_large_ends_the_connection(server: Server) -> None:
    with connected(server) as client:
        send(client, input=ECHO)
        client.send("x" * ((1 << 17) + 1))
        with pytest.raises(ConnectionClosed):
            until(client, "never printed")


@pytest.mark.parametrize("origin", ["https://evil.example", "null"])
def test_a_page_of_another_origin_may_not_connect(server: Server, origin: str) -> None:
    with pytest.raises(InvalidStatus) as refused, connected(server, origin=origin):
        pass
    assert refused.value.response.status_code == 403
    url = server.client.base_url
    with connected(server, origin=f"http://{url.host}:{url.port}") as client:
        send(client, input="print(1)")
        assert end(client)["status"] == "ok"


@pytest.mark.waits
def test_a_client_that_goes_away_ends_its_program(server: Server) -> None:
    with connected(server) as client:
        send(client, input="print('on')\nwhile True: pass")
        until(client, "on")
        client.socket.shutdown(socket.SHUT_RDWR)
    deadline = time.monotonic() + 4 * SLOWNESS
    while guests(*UIDS) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert time.monotonic() < deadline, "the program still runs"


@pytest.mark.waits
@pytest.mark.parametrize("messages", [5, 8])
def test_a_client_that_goes_away_while_its_input_waits_ends_its_program(server: Server, messages: int) -> None:
    """Five wait for the program and in the queue of the application, and eight fill that queue."""
    with connected(server) as client:
        send(client, input="import time; print('on', flush=True); time.sleep(60)")
        until(client, "on")
        for _ in range(messages):
            send(client, stdin="x" * 100_000)
        client.socket.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + 3 * SLOWNESS
        while guests(*UIDS) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert time.monotonic() < deadline, "the program still runs"


def test_a_connection_gives_up_its_place_at_its_end(small: Path, tmp_path: Path) -> None:
    setting = "[server]\nconnections_per_address = 2\n"
    text = small.read_text()
    small.write_text(text.replace("[server]\n", setting, 1) if "[server]" in text else setting + text)
    with running_server(small, tmp_path / "log") as server:
        for _ in range(4):
            with connected(server, "only") as client:
                send(client, input="print(1)")
                assert end(client)["status"] == "ok"


@pytest.mark.waits
def test_a_client_that_sends_no_request_is_closed(server: Server) -> None:
    with connected(server) as client:
        begin = time.monotonic()
        event = receive(client)
        assert "did not arrive in time" in event["error"]["description"]
        assert time.monotonic() - begin < 15 * SLOWNESS


@pytest.mark.waits
def test_many_conversations_at_once_stay_apart(server: Server) -> None:
    problems: list[str] = []

    def one(number: int) -> None:
        try:
            with connected(server) as client:
                send(client, input=ECHO)
                for step in range(3):
                    send(client, stdin=f"{number}/{step}\n")
                    assert until(client, "\n").strip() == f"got {number}/{step}"
                send(client, stdin=None)
                assert until(client, "end\n") == "end\n"
        except Exception as error:  # noqa: BLE001 - of a thread
            problems.append(repr(error))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(30)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not problems


def test_a_server_that_ends_tells_its_clients(small: Any, tmp_path: Any) -> None:
    small.write_text(small.read_text().replace("[server]\n", "[server]\ndrain = 0.5\n"))
    with running_server(small, tmp_path / "log") as own, connected(own, "only") as client:
        send(client, input="print('on')\nwhile True: pass")
        until(client, "on")
        own.process.terminate()
        assert end(client)["error"]["title"] == "Service Unavailable"


def test_plain_http_is_told_that_there_is_no_such_route(client: httpx.Client) -> None:
    assert client.get("/eval/latest/interactive").status_code == 404


def test_messages_are_not_compressed(server: Server) -> None:
    with connected(server, compression="deflate") as client:
        assert client.protocol.extensions == []
        send(client, input="print(1)")
        assert end(client)["status"] == "ok"


def test_a_signal_comes_through_while_the_program_does_not_read(server: Server) -> None:
    with connected(server) as client:
        send(client, input="print('ready'); import time; time.sleep(5)")
        until(client, "ready")
        send(client, stdin="x" * 100_000)
        send(client, signal="SIGKILL")
        begin = time.monotonic()
        assert end(client)["status"] == "signaled"
        assert time.monotonic() - begin < 3 * SLOWNESS

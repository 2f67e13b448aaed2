"""Clients that send half a request, nothing, or never read: they cost nobody else anything, and not for long."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from serving import Server, running_server

pytestmark = pytest.mark.alone

MOST = 500


@pytest.fixture
def own_server(small: Path, tmp_path: Path) -> Iterator[Server]:
    """A server that nobody else waits for."""
    with running_server(small, tmp_path / "log") as server:
        yield server


def connect(server: Server, held: ExitStack) -> socket.socket:
    address = (server.client.base_url.host, server.client.base_url.port or 80)
    return held.enter_context(socket.create_connection(address, timeout=30))


def read_to_the_end(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(1 << 16), b""))


def resident(server: Server) -> int:
    """Bytes of memory that the server holds."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * 4096


def request(code: str) -> bytes:
    body = json.dumps({"input": code}).encode()
    return b"POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def test_five_hundred_of_them_leave_a_normal_request_served_in_time(own_server: Server) -> None:
    begun = (
        b"",
        b"POST /ev",
        b"POST /eval HTTP/1.1\r\nHost: localhost\r\nX-Header: " + b"x" * 9000,
        b"POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n{",
        b"POST /eval HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffff\r\n{",
        b"GET /runtimes HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50,
    )
    with ExitStack() as held:
        connections = [connect(own_server, held) for _ in range(MOST)]
        for number, connection in enumerate(connections):
            connection.sendall(begun[number % len(begun)])
        slowest = 0.0
        for _ in range(20):
            begin = time.monotonic()
            assert own_server.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
            slowest = max(slowest, time.monotonic() - begin)
        assert slowest < 1
        for number, connection in enumerate(connections):
            said = read_to_the_end(connection)
            if number % len(begun) in {3, 4}:
                assert said.startswith(b"HTTP/1.1 408 ")
            assert b"HTTP/1.1 5" not in said


def test_a_body_may_take_its_time_as_long_as_it_arrives(own_server: Server) -> None:
    with ExitStack() as held:
        connection = connect(own_server, held)
        message = request("print(1)  #" + "x" * 100_000)
        for start in range(0, len(message), 20_000):
            connection.sendall(message[start : start + 20_000])
            time.sleep(0.3)
        assert b'"stdout":"1\\n"' in connection.recv(1 << 16)


def test_answers_that_nobody_reads_give_way_to_those_that_somebody_does(small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text().replace("[server]\n", '[server]\nmax_in_transit = "100MiB"\n'))
    with running_server(small, tmp_path / "log") as server, ExitStack() as held:
        leave = "open('x', 'wb').truncate(30 << 20)"
        before = resident(server)
        for _ in range(20):
            connect(server, held).sendall(request(leave))  # and read nothing of 40 MB each
            time.sleep(0.3)
        for _ in range(5):
            answer = server.client.post("/eval", json={"input": leave})
            assert (answer.status_code, answer.json()["files"][0]["size"]) == (200, 30 << 20)
        assert resident(server) - before < 300 << 20


def test_bodies_that_stall_give_way_as_well(small: Path, tmp_path: Path) -> None:
    small.write_text(small.read_text().replace("[server]\n", '[server]\nmax_in_transit = "100MiB"\n'))
    with running_server(small, tmp_path / "log") as server, ExitStack() as held:
        stalled = [connect(server, held) for _ in range(4)]
        for connection in stalled:
            connection.sendall(request("#" * (30 << 20))[:-1])  # all but the last byte
        time.sleep(1.2)
        body = {"input": "print(1)", "stdin": "x" * (40 << 20)}
        answer = server.client.post("/eval", json=body)
        assert (answer.status_code, answer.json().get("stdout")) == (200, "1\n")
        assert any(b"HTTP/1.1 408 " in read_to_the_end(connection) for connection in stalled)

"""Connections: each wait for a client has an end, and however many there are, others are served."""

import contextlib
import re
import socket
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from crowds import until
from serving import Server, running_server

pytestmark = pytest.mark.waits

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
SLEEP = b'{"input": "import time; time.sleep(3)"}'
EVALUATE = b"POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (len(SLEEP), SLEEP)
UPGRADE = b"GET /eval HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"


def serve(registry: Path, folder: Path, settings: str) -> contextlib.AbstractContextManager[Server]:
    path = folder / "runtimes.toml"
    path.write_text(registry.read_text().replace("[server]\n", f"[server]\n{settings}\n"))
    return running_server(path, folder / "log")


@pytest.fixture(scope="module")
def own_server(one_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(one_runtime, tmp_path_factory.mktemp("http1"), "") as server:
        yield server


@pytest.fixture(scope="module")
def http2_server(one_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(one_runtime, tmp_path_factory.mktemp("http2"), "http2 = true") as server:
        yield server
        server.process.terminate()
        server.process.wait(timeout=30)
        assert "Traceback" not in server.log.read_text()


def connect(server: Server, data: bytes = b"", *, source: str = "127.0.0.1") -> socket.socket:
    address = (server.client.base_url.host, server.client.base_url.port or 80)
    connection = socket.create_connection(address, timeout=20, source_address=(source, 0))
    connection.sendall(data)
    return connection


def to_the_end(connection: socket.socket) -> tuple[bytes, float]:
    """Read all that the server says; tell how long that took."""
    begin, said = time.monotonic(), b""
    with connection, contextlib.suppress(ConnectionError):
        while chunk := connection.recv(1 << 16):
            said += chunk
    return said, time.monotonic() - begin


def descriptors(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


IDLE = {
    "nothing": b"",
    "half a request": b"POST /eval HTTP/1.1\r\nHost: loc",
    "after an answer": GET,
    "after an answer, half a request": GET + b"GET /he",
}


def ends(server: Server, begun: Mapping[str, bytes]) -> dict[str, float]:
    """Begin requests on connections of their own, all at once; tell after how many seconds each connection was closed."""
    connections = {name: connect(server, data) for name, data in begun.items()}
    with ThreadPoolExecutor(len(begun)) as pool:
        return {
            name: seconds for name, (_, seconds) in zip(begun, pool.map(to_the_end, connections.values()), strict=True)
        }


def test_idle_connections_are_closed(own_server: Server) -> None:
    found = ends(own_server, IDLE)
    assert {name: seconds for name, seconds in found.items() if not 4 < seconds < 7} == {}


IDLE_HTTP2 = {
    "a preface": PREFACE,
    "half a preface": PREFACE[:20],
    "half a frame": PREFACE + SETTINGS + b"\0\0",
    "a stream that does not begin": PREFACE + SETTINGS + b"\0\x10\0\1\0\0\0\0\1" + b"\x82",
    "pings": PREFACE + SETTINGS + b"\0\0\x08\6\0\0\0\0\0" + bytes(8),
}


def test_idle_connections_of_http2_are_closed_as_well(http2_server: Server) -> None:
    found = ends(http2_server, IDLE_HTTP2)
    assert {name: seconds for name, seconds in found.items() if not 4 < seconds < 8} == {}


@pytest.mark.parametrize(
    "upgrade",
    [
        UPGRADE + b"\r\n",
        UPGRADE + b"Sec-WebSocket-Version: 13\r\n\r\n",
        UPGRADE + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ],
)
def test_a_refused_websocket_is_closed_at_once(own_server: Server, upgrade: bytes) -> None:
    said, seconds = to_the_end(connect(own_server, upgrade))
    assert said.startswith(b"HTTP/1.1 4")
    assert seconds < 2


def test_http2_is_refused_unless_the_registry_asks_for_it(own_server: Server) -> None:
    said, seconds = to_the_end(connect(own_server, PREFACE + SETTINGS))
    assert said.startswith(b"HTTP/1.1 505 ")
    assert b"[server] http2" in said
    assert seconds < 2


def test_an_upgrade_to_http2_is_ignored_unless_the_registry_asks_for_it(own_server: Server) -> None:
    upgrade = GET[:-2] + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    with connect(own_server, upgrade) as connection:
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Write a frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def literal(name: bytes, value: bytes) -> bytes:
    """Write a header that no table has (RFC 7541, 6.2.2)."""
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


HEADS = {
    "CONNECT": literal(b":method", b"CONNECT") + literal(b":authority", b"localhost"),
    "a path beyond ASCII": b"\x82\x86" + literal(b":authority", b"localhost") + literal(b":path", "/é".encode()),
    "no path": b"\x82\x86" + literal(b":authority", b"localhost"),
    "a websocket": literal(b":method", b"CONNECT")
    + literal(b":protocol", b"websocket")
    + b"\x86\x84"
    + literal(b":authority", b"localhost"),
}
ODD_FRAMES = {name: frame(1, 5, 1, head) for name, head in HEADS.items()} | {
    "a priority": frame(2, 0, 3, b"\0\0\0\0\1") * 3,
    "a priority of itself": frame(2, 0, 3, b"\0\0\0\3\1"),
    "many priorities": b"".join(frame(2, 0, 2 * n + 1, b"\0\0\0\0\1") for n in range(1, 1500)),
    "data of no stream": frame(0, 0, 7, b"x"),
    "an unknown frame": frame(99, 0, 0, b"x" * 100),
}  # fmt: skip


def test_odd_frames_are_no_error_of_the_server(http2_server: Server) -> None:
    ends(http2_server, {name: PREFACE + SETTINGS + sent for name, sent in ODD_FRAMES.items()})
    assert http2_server.client.get("/healthz").text == "ok\n"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_two_lengths_are_refused_and_what_follows_is_no_request(own_server: Server, head: bytes) -> None:
    smuggled = b"POST /eval HTTP/1.1\r\nHost: localhost\r\n" + head + b"0\r\n\r\n" + GET
    said, seconds = to_the_end(connect(own_server, smuggled))
    assert said.startswith(b"HTTP/1.1 400 ")
    assert len(re.findall(rb"HTTP/1.1 \d", said)) == 1
    assert b"ok\n" not in said
    assert seconds < 2


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nx\r\n",
        b"Transfer-Encoding: x\r\n\r\n",
        b"A : b\r\n\r\n",
    ],
)
def test_any_error_in_framing_closes_the_connection(own_server: Server, head: bytes, version: bytes) -> None:
    said, seconds = to_the_end(
        connect(own_server, b"POST /eval HTTP/" + version + b"\r\nHost: localhost\r\n" + head + GET)
    )
    assert len(re.findall(rb"HTTP/1.1 \d", said)) == 1
    assert said[9:10] in b"45"
    assert b"ok\n" not in said
    assert seconds < 2


@pytest.mark.parametrize("data", [b"", GET, b"GET /he", EVALUATE, EVALUATE + GET * 3])
def test_a_client_that_has_closed_costs_a_descriptor_for_half_a_second_at_most(own_server: Server, data: bytes) -> None:
    rest = descriptors(own_server)
    connections = [connect(own_server, data) for _ in range(30)]
    until(lambda: descriptors(own_server) >= rest + 20)  # a run that is forked ahead has some of the rest
    for connection in connections:
        connection.close()
    assert until(lambda: descriptors(own_server) <= rest + 8) < 0.5


def test_fifteen_hundred_idle_connections_leave_others_served(own_server: Server) -> None:
    with ExitStack() as held:
        for number in range(1500):
            held.enter_context(connect(own_server, (b"", b"GET /", PREFACE[:9])[number % 3]))
        begin = time.monotonic()
        assert own_server.client.get("/healthz").text == "ok\n"
        answer = own_server.client.post("/eval", json={"input": "print(1)"}).json()
        assert answer["stdout"] == "1\n"
        assert time.monotonic() - begin < 1
        assert descriptors(own_server) < 700
    assert own_server.log.stat().st_size < 20_000


def test_a_connection_too_many_replaces_an_idle_one_or_is_closed_at_once(small: Path, tmp_path: Path) -> None:
    with serve(small, tmp_path, "connections_per_address = 2\nconnections = 3") as server, ExitStack() as held:
        idle = held.enter_context(connect(server, source="127.0.0.2"))
        busy = [held.enter_context(connect(server, EVALUATE, source="127.0.0.2"))]
        time.sleep(0.3)
        busy.append(held.enter_context(connect(server, EVALUATE, source="127.0.0.2")))
        assert to_the_end(idle)[1] < 1
        time.sleep(0.3)
        said, seconds = to_the_end(connect(server, source="127.0.0.2"))
        assert (said, seconds < 1) == (b"", True)
        with connect(server, GET, source="127.0.0.3") as other:
            assert other.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
        for connection in busy:
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert "connections_per_address" in server.log.read_text()


def test_answers_are_sent_without_delay(own_server: Server) -> None:
    """Nagle's algorithm holds the second part of an answer until the first is acknowledged, for 40 ms."""
    own_server.client.get("/healthz")
    begin = time.monotonic()
    for _ in range(20):
        own_server.client.get("/healthz")
    assert time.monotonic() - begin < 20 * 0.03


def test_a_client_that_closes_its_side_gets_a_quick_answer(own_server: Server) -> None:
    connection = connect(own_server, GET)
    connection.shutdown(socket.SHUT_WR)
    assert to_the_end(connection)[0].endswith(b"ok\n")


def test_connections_that_come_while_the_server_ends_are_no_error(small: Path, tmp_path: Path) -> None:
    with serve(small, tmp_path, "") as server:
        connections = [connect(server, GET) for _ in range(300)]
        server.process.terminate()
        for connection in connections:
            connection.close()
        assert server.process.wait(timeout=30) == 0
    assert "Traceback" not in server.log.read_text()

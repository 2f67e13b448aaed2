"""HTTP/2: a stream that ends early ends alone, and its client learns of it."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import h2.connection
import h2.errors
import h2.events
import h2.settings
import pytest

from serving import PATIENCE, Server, running_server

_Event = TypeVar("_Event", bound=h2.events.Event)


class Client:
    """A client that decides itself what it sends and reads."""

    def __init__(self, connection: socket.socket, window: int) -> None:
        self._socket = connection
        self._http2 = h2.connection.H2Connection()
        self._http2.local_settings = h2.settings.Settings(
            client=True, initial_values={h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: window}
        )
        self._events: list[h2.events.Event] = []
        self._http2.initiate_connection()
        self._flush()

    def begin(self, method: str, path: str, *headers: tuple[str, str], is_whole: bool = False) -> int:
        """Send the head of a request; return the number of its stream."""
        stream = self._http2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost"), *headers]
        self._http2.send_headers(stream, head, end_stream=is_whole)
        self._flush()
        return stream

    def send(self, stream: int, data: bytes, *, is_last: bool = False) -> None:
        self._http2.send_data(stream, data, end_stream=is_last)
        self._flush()

    def send_late(self, stream: int, data: bytes) -> None:
        """Send the last data of a stream, as if the server's reset had not arrived yet (RFC 9113, 4.1 and 6.1)."""
        self._socket.sendall(len(data).to_bytes(3, "big") + b"\0\1" + stream.to_bytes(4, "big") + data)

    def connect_with_data(self) -> int:
        """Send a CONNECT and data in one piece."""
        stream = self._http2.get_next_available_stream_id()
        self._http2.send_headers(stream, [(":method", "CONNECT"), (":authority", "localhost")])
        self._http2.send_data(stream, b"data")
        self._flush()
        return stream

    def until(self, kind: type[_Event], stream: int) -> _Event:
        """Read until there is an event of a kind and a stream; the connection must not end before."""
        while True:
            for event in self._events:
                if isinstance(event, kind) and getattr(event, "stream_id", None) == stream:
                    return event
            data = self._socket.recv(1 << 16)
            assert data, "the server has closed the connection"
            self._events += self._http2.receive_data(data)
            self._flush()

    def get(self, path: str) -> str:
        """Return the status of the answer to a request."""
        response = self.until(h2.events.ResponseReceived, self.begin("GET", path, is_whole=True))
        return dict(response.headers or ())[b":status"].decode()

    def _flush(self) -> None:
        self._socket.sendall(self._http2.data_to_send())


@contextmanager
def connected(server: Server, window: int = 65_535) -> Iterator[Client]:
    address = (server.client.base_url.host, server.client.base_url.port or 80)
    with socket.create_connection(address, timeout=PATIENCE) as connection:
        yield Client(connection, window)


@pytest.fixture(scope="module")
def http2_server(one_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("http2")
    path = folder / "runtimes.toml"
    settings = '[server]\nhttp2 = true\nmax_in_transit = "20MiB"\n'
    path.write_text(one_runtime.read_text().replace("[server]\n", settings))
    with running_server(path, folder / "log") as server:
        yield server
    assert "a connection was closed" not in server.log.read_text()


def test_the_rest_of_a_body_that_was_answered_long_ago_is_discarded(http2_server: Server) -> None:
    with connected(http2_server) as client:
        stream = client.begin("POST", "/eval", ("content-type", "text/plain"))
        client.send(stream, b"x")
        client.until(h2.events.ResponseReceived, stream)  # after 5 s, in which the server has discarded the body
        reset = client.until(h2.events.StreamReset, stream)
        assert reset.error_code == h2.errors.ErrorCodes.NO_ERROR
        client.send_late(stream, b"x" * 1000)
        assert client.get("/healthz") == "200"


def test_data_of_a_stream_that_is_refused_is_discarded(http2_server: Server) -> None:
    with connected(http2_server) as client:
        client.connect_with_data()
        assert client.get("/healthz") == "200"


def test_an_answer_that_is_cut_ends_its_stream(http2_server: Server) -> None:
    body = json.dumps({"input": "open('x', 'wb').truncate(8 << 20)"}).encode()
    with connected(http2_server, window=0) as client:
        stream = client.begin("POST", "/eval")
        client.send(stream, body, is_last=True)
        client.until(h2.events.ResponseReceived, stream)
        time.sleep(1.5)  # until the server knows that the client does not read
        answer = http2_server.client.post("/eval", json={"input": "", "stdin": "x" * (6 << 20)})
        assert answer.status_code == 200, answer.text
        reset = client.until(h2.events.StreamReset, stream)
        assert reset.error_code == h2.errors.ErrorCodes.INTERNAL_ERROR
        assert client.get("/healthz") == "200"

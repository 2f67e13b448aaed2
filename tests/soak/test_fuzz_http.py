"""Any bytes from a client: the server answers or closes, never with an error of its own, and serves the next one."""

import json
import re
import socket
from contextlib import nullcontext, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soak.conftest import Start
from soak.fuzzing import MINUTES, ROUND, fuzz

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

METHODS = st.sampled_from(("GET", "POST", "HEAD", "OPTIONS", "PUT", "PRI", "CONNECT")) | st.text(max_size=8)
TARGETS = st.sampled_from(
    ("/eval", "/eval/one", "//eval", "/runtimes", "/healthz", "/readyz", "*", "http://x/eval", "/eval?x=1")
)
VERSIONS = st.sampled_from(("HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", ""))
HEADERS = st.sampled_from(
    (
        "Host: localhost", "Content-Type: application/json", "Content-Type: text/plain", "Transfer-Encoding: chunked", "Connection: close",
        "Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk", "Expect: 100-continue",
        "Content-Length: 0", "Content-Length: 5", "Content-Length: 99999999999", "Content-Encoding: gzip", "Te: trailers",
        "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
) | st.text(max_size=30)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(("print(1)", "-c", "-V")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        "input": st.sampled_from(("", "print(1)", "1/0", "open('x', 'w').close()")) | VALUES,
        "args": st.lists(st.sampled_from(("-c", "-X", "-V", "print(2)", "")), max_size=3) | VALUES,
        "files": st.lists(
            st.fixed_dictionaries({"path": st.text(max_size=9), "content": st.text(max_size=9)}), max_size=3
        )
        | VALUES,
        "stdin": VALUES,
        "limits": VALUES,
        "runtime": st.sampled_from(("one", "only")) | VALUES,
        "separate_stderr": VALUES,
        "executable_path": VALUES,
    },
)
BODIES = st.builds(lambda value: json.dumps(value).encode(), REQUESTS | VALUES) | st.binary(max_size=200)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A request, well-formed or nearly so, and cut or altered somewhere."""
    body = draw(BODIES)
    lines = [
        f"{draw(METHODS)} {draw(TARGETS | st.text(max_size=9))} {draw(VERSIONS)}",
        *draw(st.lists(HEADERS, max_size=5)),
    ]
    if draw(st.booleans()):
        lines = ["POST /eval HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}", *lines[1:3]]
    if draw(st.integers(0, 4)) == 0:
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        lines.append("Transfer-Encoding: chunked")
    message = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body
    match draw(st.integers(0, 5)):
        case 0:
            return message[: draw(st.integers(0, len(message)))]
        case 1:
            at = draw(st.integers(0, len(message)))
            return message[:at] + draw(st.binary(max_size=9)) + message[at:]
        case 2:
            return message + draw(st.binary(max_size=99))
        case _:
            return message


def test_any_bytes_are_answered_or_refused(start: Start, scale: float) -> None:
    with start() as server:
        address = (server.client.base_url.host, server.client.base_url.port or 80)

        @ROUND
        @given(st.lists(messages(), min_size=1, max_size=4), st.booleans(), st.integers(0, 15))
        def send(sent: list[bytes], half_closed: bool, patience: int) -> None:
            waits = patience == 15  # to the end, which takes seconds: within 30 the server has closed
            said = b""
            with socket.create_connection(address, timeout=30) as connection, suppress(ConnectionError):
                for message in sent:
                    connection.sendall(message)
                if half_closed:
                    with suppress(OSError):  # the server has closed already
                        connection.shutdown(socket.SHUT_WR)
                if not waits:
                    connection.settimeout(0.05)
                with nullcontext() if waits else suppress(TimeoutError):
                    while chunk := connection.recv(1 << 16):
                        said += chunk
            statuses = [int(status) for status in re.findall(rb"^HTTP/[\d.]+ (\d{3})", said, re.MULTILINE)]
            assert all(status < 500 or status in {501, 503, 505} for status in statuses), said

        rounds = fuzz(send, MINUTES * scale)
        print(f"{rounds} rounds of {ROUND.max_examples} connections")
        assert server.client.post("/eval", json={"input": "print(1)"}).json()["stdout"] == "1\n"
        assert "Traceback" not in server.log.read_text()

"""Abuse of HTTP itself: refused or ignored, and the server serves on."""

import gzip
import json
import re
import socket
from contextlib import suppress

import pytest

from isolation.attacks import Prison

BODY = b'{"input": "print(1)"}'
HEAD = b"POST /eval HTTP/1.1\r\nHost: localhost\r\n"

ABUSES = {
    "two lengths": HEAD + b"Content-Length: 21\r\nContent-Length: 5\r\n\r\n" + BODY,
    "a length and chunks": HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    "chunks of chunks": HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "an unknown coding": HEAD + b"Transfer-Encoding: gzip\r\n\r\n" + BODY,
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n" + BODY,
    "a huge length": HEAD + b"Content-Length: 99999999999999999999\r\n\r\n" + BODY,
    "a length in words": HEAD + b"Content-Length: many\r\n\r\n" + BODY,
    "a bad chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n" + BODY,
    "a huge chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n" + BODY,
    "a long extension of a chunk": HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"x" * 99_999 + b"\r\n",
    "endless headers": HEAD + b"X: y\r\n" * 9999 + b"\r\n",
    "a huge header": HEAD + b"X: " + b"y" * 999_999 + b"\r\n\r\n",
    "a huge target": b"POST /" + b"x" * 999_999 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "no host": b"POST /eval HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
    "two hosts": HEAD + b"Host: y\r\nContent-Length: 0\r\n\r\n",
    "folded headers": HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
    "spaces before colons": HEAD + b"Content-Length : 21\r\n\r\n" + BODY,
    "ends of lines alone": b"POST /eval HTTP/1.1\nHost: localhost\nContent-Length: 21\n\n" + BODY,
    "a null byte in a header": HEAD + b"X: a\0b\r\n\r\n",
    "a null byte in the target": b"POST /eval%00 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    "bytes above ASCII in the target": b"POST /\xff\xfe HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    "bad escapes in the target": b"GET /eval/%ff%zz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "climbing in the target": b"GET /eval/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "climbing by escapes": b"GET /eval/..%2f..%2fetc%2fpasswd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "version 0.9": b"GET /eval\r\n\r\n",
    "version 1.0": b"GET /healthz HTTP/1.0\r\n\r\n",
    "version 3": b"GET /eval HTTP/3.0\r\nHost: localhost\r\n\r\n",
    "an unknown method": b"BREW /eval HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "CONNECT": b"CONNECT example.com:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TRACE": b"TRACE /eval HTTP/1.1\r\nHost: localhost\r\nCookie: secret\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "another scheme": b"POST ftp://x/eval HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n",
    "an upgrade to a socket of the web": (
        b"GET /eval HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ),
    "an upgrade to version 2": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n",
    "version 2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0" + b"\xff" * 99,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "nothing but bytes": bytes(range(256)) * 40,
    "a hundred requests at once": (HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY) * 20,
    "a request in an answer's place": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "an expectation": HEAD + b"Expect: 100-continue\r\nContent-Length: 21\r\n\r\n" + BODY,
    "an unknown expectation": HEAD + b"Expect: miracles\r\nContent-Length: 21\r\n\r\n" + BODY,
    "compressed": HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(BODY)) + gzip.compress(BODY),
    "another method by a header": b"GET /eval HTTP/1.1\r\nHost: localhost\r\nX-HTTP-Method-Override: POST\r\n\r\n",
    "a key twice": HEAD + b'Content-Length: 32\r\n\r\n{"input": "1", "input": "2" + 1}',
    "deep": HEAD + b"Content-Length: 900000\r\n\r\n" + b'{"x":[' * 150_000,
    "numbers without end": HEAD + b"Content-Length: 500010\r\n\r\n" + b'{"input":' + b"9" * 500_000 + b"}",
    "UTF-16": HEAD + b"Content-Length: %d\r\n\r\n" % len(json.dumps({"input": ""}).encode("utf-16")) + json.dumps({"input": ""}).encode("utf-16"),
}  # fmt: skip


@pytest.mark.parametrize("abuse", ABUSES.values(), ids=ABUSES.keys())
def test_abuse_is_no_error_of_the_server_and_stops_nobody(prison: Prison, abuse: bytes) -> None:
    said = b""
    address = (prison.client.base_url.host, prison.client.base_url.port or 80)
    with socket.create_connection(address, timeout=15) as connection, suppress(ConnectionError):
        connection.sendall(abuse)
        connection.settimeout(0.3)  # that much to say something
        with suppress(TimeoutError):
            while chunk := connection.recv(1 << 16):
                said += chunk
    statuses = [int(status) for status in re.findall(rb"^HTTP/[\d.]+ (\d{3})", said, re.MULTILINE)]
    # 501: a transfer coding (RFC 9112, 6.1); 505: a version (RFC 9110, 15.6.6)
    assert all(status < 500 or status in {501, 505} for status in statuses), said[:500]
    assert b"smuggled" not in said
    assert b"secret" not in said
    assert prison.run("print(1)")["stdout"] == "1\n"

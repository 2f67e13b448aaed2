"""The server's own resources: whatever a client sends or a program leaves, the server stays small and quick.

Each attack asserts that the server's memory grows by less than 64 MiB (by less than three times the body where that is
larger), that `/healthz` answers within 100 ms meanwhile, and that all is as it was 5 s later. With
SNEKHOUSE_TEST_MEMORY=536870912 the server has so many bytes of memory, its runs included, and nothing but runs is killed
for want of it.
"""

import json
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from command import SNEKHOUSE
from isolation.meter import MIB, T, assert_unharmed
from serving import Server, await_fork_servers, running_server
from snekhouse.host.cgroups import detect

pytestmark = [pytest.mark.own_server, pytest.mark.alone]

X = TypeVar("X")

TOKEN = "a-token-that-is-long-enough"
BODY = 64 * MIB - 1024
HEAD = b"HTTP/1.1\r\nHost: localhost\r\n"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


@dataclass(frozen=True)
class Target:
    """A server to attack.

    Attributes:
        server: It.
        state: The folder with its files.
    """

    server: Server
    state: Path

    def connect(self, data: bytes = b"") -> socket.socket:
        """Connect from an address of the attacker's own, and send."""
        address = (self.server.client.base_url.host, self.server.client.base_url.port or 80)
        connection = socket.create_connection(address, timeout=10, source_address=("127.0.0.66", 0))
        with suppress(OSError):  # the server may have closed it
            connection.sendall(data)
        return connection

    def exchange(self, data: bytes) -> bytes:
        """Send, and read to the end."""
        said = b""
        with self.connect(data) as connection, suppress(OSError):
            connection.settimeout(15)
            while chunk := connection.recv(1 << 16):
                said += chunk[: max(0, 4096 - len(said))]
        return said

    def post(self, body: bytes, path: str = "/eval", kind: bytes = b"application/json") -> bytes:
        head = b"POST " + path.encode() + b" " + HEAD + b"Connection: close\r\nContent-Type: " + kind
        return self.exchange(head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    def run(self, program: str) -> bytes:
        return self.post(json.dumps({"input": program}).encode())

    def endures(self, attack: Callable[[], T], *, growth: int = 64 * MIB, log: int = 128 << 10) -> T:
        """Attack it, and check that it is unharmed."""
        return assert_unharmed(self.server, self.state, attack, growth=growth, log=log)


@contextmanager
def _attacked(registry: Path, folder: Path, settings: str = "") -> Iterator[Target]:
    state = folder / "state"
    path = folder / "runtimes.toml"
    path.write_text(registry.read_text().replace("[server]\n", f'[server]\nstate = "{state}"\n{settings}'))
    with (
        _limited() as command,
        running_server(path, folder / "log", {"SNEKHOUSE_ADMIN_TOKEN": TOKEN}, command) as server,
    ):
        await_fork_servers(server.client)
        target = Target(server, state)
        for path_of in ("/runtimes", "/metrics", "/docs", "/openapi.json", "/docs/swagger-ui-bundle.js"):
            server.client.get(path_of)
        target.post(b'{"input":"open(\'x\', \'w\')","stdin":"' + b"x" * MIB + b'"}')  # what it holds once for all
        yield target
        assert server.process.poll() is None, "the server was killed"
        assert 'reason="lost"' not in server.client.get("/metrics").text, "a fork server was killed"


@contextmanager
def _limited() -> Iterator[tuple[str, ...]]:
    """Name the command that starts a server, under the limit of memory that SNEKHOUSE_TEST_MEMORY sets, if any."""
    limit = os.environ.get("SNEKHOUSE_TEST_MEMORY")
    if not limit:
        yield SNEKHOUSE
        return
    layout = detect().layout
    assert layout, "this host has no cgroups that may be used"
    folders = layout.folders(f"snekhouse-tests-{uuid.uuid4().hex[:8]}")
    group = Path(next(folder for folder in folders if len(folders) == 1 or "memory" in folder))
    group.mkdir()
    try:
        file = group / ("memory.max" if (group / "memory.max").exists() else "memory.limit_in_bytes")
        file.write_text(str(int(limit)))
        yield ("sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$0" "$@"', *SNEKHOUSE)
    finally:
        group.rmdir()


@pytest.fixture(scope="module")
def target(one_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with _attacked(one_runtime, tmp_path_factory.mktemp("target")) as target:
        yield target


@pytest.fixture(scope="module")
def http2_target(one_runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with _attacked(one_runtime, tmp_path_factory.mktemp("http2"), "http2 = true\n") as target:
        yield target


def at_once(action: Callable[[X], T], given: list[X]) -> list[T]:
    """Do the same many times at once."""
    with ThreadPoolExecutor(len(given)) as pool:
        return list(pool.map(action, given))


def filled(start: bytes, unit: bytes, end: bytes) -> Callable[[], bytes]:
    """Make a body of nearly 64 MiB from many of a unit."""
    return lambda: start + unit * ((BODY - len(start) - len(end)) // len(unit)) + end


PROGRAM = b'{"input":"print(1)",'
BODIES = {
    "a program": filled(b'{"input":"#', b"x", b'"}'),
    "a program beyond ASCII": filled(b'{"input":"#', "Ā".encode(), b'"}'),
    "a program with one wide character": filled('{"input":"#😀'.encode(), b"x", b'"}'),
    "a path of many names": filled(PROGRAM + b'"files":[{"path":"', b"ab/", b'x"}]}'),
    "many paths of many names": filled(
        PROGRAM + b'"files":[', b'{"path":"' + b"a/" * 1900 + b'x"},', b'{"path":"x"}]}'
    ),
    "a file": filled(PROGRAM + b'"files":[{"path":"x","content":"', b"AAAA", b'"}]}'),
    "a file in lines": filled(PROGRAM + b'"files":[{"path":"x","content":"', b"AAAA" * 19 + b"\\r\\n", b'"}]}'),
    "a file beyond ASCII": filled(PROGRAM + b'"files":[{"path":"x","content":"', "Ā".encode(), b'"}]}'),
    "many files": filled(PROGRAM + b'"files":[', b'{"path":"x","content":"' + b"A" * 400 + b'"},', b'{"path":"x"}]}'),
    "many empty files": filled(PROGRAM + b'"files":[', b"{},", b"{}]}"),
    "standard input": filled(PROGRAM + b'"stdin":"', b"x", b'"}'),
    "standard input in escapes": filled(PROGRAM + b'"stdin":"', rb"\u0041", b'"}'),
    "standard input in surrogate pairs": filled(PROGRAM + b'"stdin":"', rb"\ud83d\ude00", b'"}'),
    "half surrogates": filled(PROGRAM + b'"stdin":"', rb"\ud83d", b'"}'),
    "backslashes": filled(PROGRAM + b'"stdin":"', rb"\\", b'"}'),
    "no UTF-8": filled(PROGRAM + b'"stdin":"', b"\xff", b'"}'),
    "control characters": filled(PROGRAM + b'"stdin":"', b"\0", b'"}'),
    "an ignored key with zeros": filled(PROGRAM + b'"x":[', b"0,", b"0]}"),
    "an ignored key with objects": filled(PROGRAM + b'"x":[', b'{"a":0},', b"0]}"),
    "an ignored key with a text": filled(PROGRAM + b'"x":"', b"x", b'"}'),
    "ignored keys": filled(PROGRAM, b'"ab":0,', b'"x":1}'),
    "a long ignored key": filled(PROGRAM + b'"', b"x", b'":1}'),
    "arguments": filled(b'{"args":[', b'"",', b'""]}'),
    "long arguments": filled(b'{"args":[', b'"' + b"x" * 300 + b'",', b'""]}'),
    "a number": filled(b'{"input":', b"9", b"}"),
    "spaces": filled(b'{"input":', b" ", b'""}'),
    "lists in lists": filled(b'{"x":', b"[", b""),
    "objects in objects": filled(b"", b'{"x":', b""),
    "quotes": filled(b"", b'"', b""),
    "null bytes": filled(b"", b"\0", b""),
    "a name of a runtime": filled(PROGRAM + b'"runtime":"', b"x", b'"}'),
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
def test_large_bodies(target: Target, body: Callable[[], bytes]) -> None:
    sent = body()
    answer = target.endures(lambda: target.post(sent), growth=2 * len(sent) + 32 * MIB)
    assert answer[9:12] in {b"200", b"400", b"404"}, answer


ODD_BODIES: dict[str, Callable[[Target], object]] = {
    "chunks of one byte": lambda at: at.exchange(
        b"POST /eval " + HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + b"1\r\nx\r\n" * (MIB // 4) + b"0\r\n\r\n"
    ),
    "a form": lambda at: at.post(b"input=" + b"%41" * (20 * MIB), kind=b"application/x-www-form-urlencoded"),
    "a form of many fields": lambda at: at.post(b"a=b&" * (MIB // 4), kind=b"application/x-www-form-urlencoded"),
    "a line of many values": lambda at: at.post(
        b'{"input":"","args":[' + b"[0]," * (6 * MIB) + b"0]}", "/batch", kind=b"application/x-ndjson"
    ),
    "to a route that takes none": lambda at: at.post(b"x" * BODY, "/healthz"),
    "to no route": lambda at: at.post(b"x" * BODY, "/nowhere"),
    "to the admin API": lambda at: at.post(b"x" * BODY, "/admin/reload"),
    "of another type": lambda at: at.post(b"x" * BODY, kind=b"text/plain"),
    "larger than allowed": lambda at: at.post(b'{"input":"' + b"x" * (80 * MIB)),
}  # fmt: skip


@pytest.mark.parametrize("attack", ODD_BODIES.values(), ids=ODD_BODIES.keys())
def test_odd_bodies(target: Target, attack: Callable[[Target], object]) -> None:
    target.endures(lambda: attack(target), growth=96 * MIB)


def test_large_inputs_in_the_queue_count_as_in_transit(one_runtime: Path, tmp_path: Path) -> None:
    body = filled(b'{"input":"import time; time.sleep(1)","stdin":"', b"x", b'"}')()
    with _attacked(one_runtime, tmp_path, 'max_in_transit = "200MiB"\n') as target:
        answers = target.endures(lambda: at_once(target.post, [body] * 8), growth=300 * MIB)
        assert {answer[9:12] for answer in answers if answer} <= {b"200", b"408", b"503"}
        assert b"200" in {answer[9:12] for answer in answers}


WIDE = "'\\u4e2d' * 84"
TREES = {
    "names beyond Latin in a hundred folders": (
        f"import os\nfor _ in range(100): os.mkdir({WIDE}); os.chdir({WIDE})\n"
        "for n in range(12000): os.close(os.open(str(n), os.O_CREAT))"
    ),
    "as deep as a path goes": (
        "import os\nfor _ in range(15): os.mkdir('n' * 255); os.chdir('n' * 255)\n"
        "for n in range(12000): os.close(os.open(str(n), os.O_CREAT))"
    ),
    "a wide folder of long names": f"for n in range(12000): open({WIDE[:-2]}80 + str(n), 'w').close()",
    "names that do not match": "for n in range(12000): open('_' * 200 + str(n), 'w').close()",
    "hidden names": "for n in range(12000): open('.' + 'x' * 200 + str(n), 'w').close()",
    "links to nowhere": "import os\nfor n in range(12000): os.symlink('x' * 4000, 'y' * 200 + str(n))",
    "links to one file": "import os\nopen('x', 'w').close()\nfor n in range(12000): os.symlink('./' * 500 + 'x', f'y{n}')",
    "names of one file": "import os\nopen('x', 'w').close()\nfor n in range(12000): os.link('x', f'{n:0200}')",
    "links through links": (
        "import os\nos.mkdir('d')\nfor n in range(39): os.symlink('d/../' * 700 + f'l{n + 1}', f'l{n}')\n"
        "for n in range(2000): os.symlink('l0', f'x{n}')"
    ),
    "a comb of folders": "import os\nfor n in range(119):\n  for m in range(99): os.makedirs(f'{n}/{m}', exist_ok=True)",
    "folders all the way": "import os\nfor n in range(120): os.makedirs('/'.join(f'{n}' for _ in range(100)), exist_ok=True)",
    "many large files": "for n in range(100): open(str(n), 'wb').truncate(480_000)",
    "one file by many names": "import os\nopen('x', 'wb').write(bytes(1_000_000))\nfor n in range(99): os.link('x', str(n))",
    "names of control characters": "for n in range(5000): open('\\x1b[2J\\n' * 20 + str(n), 'w').close()",
    "names that are not UTF-8": "import os\nfor n in range(5000): open(b'\\xff' * 200 + b'%d' % n, 'w').close()",
}  # fmt: skip


@pytest.mark.parametrize("program", TREES.values(), ids=TREES.keys())
def test_trees_left_behind(target: Target, program: str) -> None:
    limit = (
        32 * MIB if "truncate" not in program and "1_000_000" not in program else 100 * MIB
    )  # the home, and its base64
    answer = target.endures(lambda: target.run(program), growth=limit)
    assert answer.startswith(b"HTTP/1.1 200 "), answer


OUTPUTS = {
    "packets of one byte": (
        "import fcntl, os\nfcntl.fcntl(1, fcntl.F_SETFL, os.O_DIRECT | os.O_WRONLY)\nwhile True: os.write(1, b'x')"
    ),
    "one byte at a time": "import os\nwhile True: os.write(1, b'x')",
    "a flood": "import os\nwhile True: os.write(1, b'x' * 1_000_000)",
    "a flood on both": "import os\nwhile True: os.write(1, b'x' * 70_000); os.write(2, b'y' * 70_000)",
    "null bytes, which JSON writes as six": "import os\nwhile True: os.write(1, bytes(60_000))",
    "wide characters": "import os\nwhile True: os.write(1, '😀'.encode() * 10_000)",
    "no UTF-8": "import os\nwhile True: os.write(1, b'\\xff' * 60_000)",
    "many processes": "import os\nfor _ in range(3): os.fork()\nwhile True: os.write(1, b'x' * 100)",
    "a pipe that another holds": "import os, time\nif not os.fork():\n  time.sleep(2)\n  os.write(1, b'x' * 60_000)",
}


@pytest.mark.parametrize("program", OUTPUTS.values(), ids=OUTPUTS.keys())
def test_shapes_of_output(target: Target, program: str) -> None:
    answers = target.endures(lambda: at_once(target.run, [program] * 2))
    assert all(answer.startswith(b"HTTP/1.1 200 ") for answer in answers), answers


def _many(data: bytes, count: int = 1500, hold: float = 1.0) -> Callable[[Target], None]:
    """Hold many connections that have sent the same."""

    def attack(target: Target) -> None:
        with ExitStack() as held:
            for _ in range(count):
                held.enter_context(target.connect(data))
            time.sleep(hold)

    return attack


def _one_after_the_other(data: bytes, count: int = 3000) -> Callable[[Target], None]:
    """Connect, send and close, many times."""

    def attack(target: Target) -> None:
        for _ in range(count):
            target.connect(data).close()

    return attack


def _at_once(data: bytes, count: int, hold: float = 3.0) -> Callable[[Target], None]:
    """Send much on one connection, and read nothing of the answers."""

    def attack(target: Target) -> None:
        with target.connect() as connection:
            connection.settimeout(hold)
            with suppress(OSError):
                connection.sendall(data * count)
                time.sleep(hold / 3)

    return attack


EVALUATE = b"POST /eval " + HEAD + b'Content-Length: 20\r\n\r\n{"input":"print(1)"}'
CONNECTIONS = {
    "idle": _many(b""),
    "half a head": _many(b"POST /eval HTTP/1.1\r\nHost: loc"),
    "half a large head": _many(b"POST /eval " + HEAD + b"X: " + b"x" * 15_000),
    "half a body": _many(b"POST /eval " + HEAD + b"Content-Length: 60000\r\n\r\n" + b" " * 50_000, hold=0.2),
    "the preface of HTTP/2": _many(PREFACE),
    "half a frame of HTTP/2": _many(PREFACE + b"\0\0"),
    "a refused WebSocket": _many(
        b"GET /eval " + HEAD + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ),
    "TLS": _many(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)),
    "opened and closed": _one_after_the_other(b""),
    "closed after a request": _one_after_the_other(b"GET /healthz " + HEAD + b"\r\n"),
    "closed after an evaluation was asked for": _one_after_the_other(EVALUATE, 300),
    "answers that nobody reads": _many(b"GET /docs/swagger-ui-bundle.js " + HEAD + b"\r\n", 100),
    "many requests at once": _at_once(b"GET /healthz " + HEAD + b"\r\n", 20_000),
    "many evaluations at once": _at_once(EVALUATE, 2000),
    "large answers at once": _at_once(b"GET /docs/swagger-ui-bundle.js " + HEAD + b"\r\n", 1000),
}


@pytest.mark.parametrize("attack", CONNECTIONS.values(), ids=CONNECTIONS.keys())
def test_connections(target: Target, attack: Callable[[Target], None]) -> None:
    target.endures(lambda: attack(target), log=2 * MIB)  # a line for each request that was answered


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """Write a frame of HTTP/2 (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _requests(flags: int, after: bytes = b"", count: int = 3000) -> bytes:
    """Open many streams, each with GET /healthz, and send a frame for each after it."""
    head = b"\x82\x86\x04\x08/healthz\x01\x09localhost"
    frames = (
        frame(1, flags, number, head) + (after and frame(3, 0, number, after)) for number in range(1, 2 * count, 2)
    )
    return b"".join(frames)


HTTP2 = {
    "unknown frames": frame(99, 0, 0) * 400_000,
    "pings": frame(6, 0, 0, bytes(8)) * 100_000,
    "settings": frame(4, 0, 0) * 100_000,
    "priorities": b"".join(frame(2, 0, 2 * n + 1, b"\0\0\0\0\1") for n in range(100_000)),
    "updates of the window": frame(8, 0, 0, b"\0\0\0\1") * 100_000,
    "streams that are reset at once": _requests(5, bytes(4)),
    "streams that do not end": _requests(4),
    "a head without end": frame(1, 0, 1, b"\x82") + frame(9, 0, 1, b"\0\1x" + b"\x7f\x80\x7f" + b"x" * 16_000) * 500,
    "a head that unpacks to much": frame(1, 4, 1, b"\x40\1x\x7f\xe1\x1e" + b"x" * 4000 + b"\xbe" * 12_000) * 50,
    "empty data": frame(1, 4, 1, b"\x83\x86\x04\x05/eval\x01\x09localhost") + frame(0, 0, 1) * 200_000,
}  # fmt: skip


@pytest.mark.parametrize("sent", HTTP2.values(), ids=HTTP2.keys())
def test_http2(http2_target: Target, sent: bytes) -> None:
    http2_target.endures(lambda: _at_once(PREFACE + sent, 1)(http2_target), log=2 * MIB)


def _flood(request: bytes, count: int = 1500, clients: int = 4) -> Callable[[Target], None]:
    """Send requests one after the other from several clients, and read the answers."""

    def client(target: Target) -> None:
        connection = target.connect()
        for _ in range(count // clients):
            with suppress(OSError):
                connection.sendall(request)
                if connection.recv(1 << 20):
                    continue
            connection.close()
            connection = target.connect()
        connection.close()

    def attack(target: Target) -> None:
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(client, [target] * clients))

    return attack


def _get(path: str, *headers: bytes) -> bytes:
    return b"GET " + path.encode() + b" " + HEAD + b"".join(header + b"\r\n" for header in headers) + b"\r\n"


FLOODS = {
    "/runtimes": _flood(_get("/runtimes")),
    "/readyz": _flood(_get("/readyz")),
    "/metrics": _flood(_get("/metrics"), 400),
    "/metrics with odd types": _flood(_get("/metrics", b"Accept: " + b"text/plain; version=0." * 400), 400),
    "/openapi.json": _flood(_get("/openapi.json"), 400),
    "/docs": _flood(_get("/docs")),
    "/docs/swagger-ui-bundle.js": _flood(_get("/docs/swagger-ui-bundle.js"), 200),
    "no route": _flood(_get("/" + "x" * 8000)),
    "no runtime": _flood(_get("/eval/" + "x" * 8000).replace(b"GET", b"POST", 1)),
    "no method": _flood(_get("/eval").replace(b"GET", b"BREW", 1)),
    "OPTIONS": _flood(_get("/eval").replace(b"GET", b"OPTIONS", 1)),
    "evaluations that are refused": _flood(b"POST /eval " + HEAD + b"Content-Length: 2\r\n\r\n{}"),
    "evaluations": _flood(EVALUATE, 400),
    "foreign pages": _flood(
        b"POST /eval " + HEAD + b"Origin: http://" + b"x" * 8000 + b"\r\nContent-Length: 0\r\n\r\n"
    ),
    "foreign hosts": _flood(b"GET /healthz HTTP/1.1\r\nHost: " + b"x" * 8000 + b"\r\n\r\n"),
    "the admin API without a token": _flood(_get("/admin/runtimes")),
    "the admin API with wrong tokens": _flood(_get("/admin/runtimes", b"Authorization: Bearer " + b"x" * 8000)),
    "the admin API with the right token": _flood(
        _get("/admin/runtimes", b"Authorization: Bearer " + TOKEN.encode()), 200
    ),
    "many headers": _flood(_get("/healthz", *[b"X: y"] * 2000)),
    "large headers": _flood(_get("/healthz", b"X: " + b"y" * 15_000)),
    "headers too large": _flood(_get("/healthz", b"X: " + b"y" * 70_000), 400),
    "framing errors": _flood(b"GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n", 1000),
}


@pytest.mark.parametrize("attack", FLOODS.values(), ids=FLOODS.keys())
def test_floods_of_each_route(target: Target, attack: Callable[[Target], None]) -> None:
    target.endures(lambda: attack(target), log=24 * MIB)  # the path of each request is told

"""A loopback interface of a run's own: its program talks to itself, and to nobody else."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isolation.attacks import Prison, table
from leftovers import held
from serving import Server, server_of

pytestmark = pytest.mark.own_server


@pytest.fixture(scope="module", params=["fork", "cold"])
def talking(
    request: pytest.FixtureRequest, one_runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """A server whose runtime has a loopback interface."""
    settings = f'[defaults]\nstart = "{request.param}"\nloopback = true\n'
    text = settings + one_runtime.read_text().replace("[server]\n", "[server]\nconcurrency = 2\n")
    with server_of(text, tmp_path_factory.mktemp("loopback"), request.param) as server:
        yield server


@pytest.fixture
def cell(talking: Server) -> Prison:
    return Prison(talking.client, "only")


TALKS = {
    "TCP": ("AF_INET", "SOCK_STREAM", "127.0.0.1"),
    "TCP by another address of it": ("AF_INET", "SOCK_STREAM", "127.8.0.1"),
    "UDP": ("AF_INET", "SOCK_DGRAM", "127.0.0.1"),
    "TCP over IPv6": ("AF_INET6", "SOCK_STREAM", "::1"),
}


@pytest.mark.parametrize(("family", "kind", "address"), TALKS.values(), ids=TALKS.keys())
def test_a_program_talks_to_itself(cell: Prison, family: str, kind: str, address: str) -> None:
    answer = cell.run(
        f"import socket\nserver = socket.socket(socket.{family}, socket.{kind}); server.bind(({address!r}, 0))\n"
        f"client = socket.socket(socket.{family}, socket.{kind})\n"
        "if client.type == socket.SOCK_STREAM: server.listen()\n"
        "client.connect(server.getsockname()); client.send(b'hello')\n"
        "if client.type == socket.SOCK_STREAM: server, _ = server.accept()\nprint(server.recv(9))"
    )
    assert answer["stdout"] == "b'hello'\n"


def test_a_server_and_its_client_of_the_library(cell: Prison) -> None:
    answer = cell.run(
        "import asyncio\nasync def serve(reader, writer):\n  writer.write((await reader.readline()).upper()); writer.close()\n"
        "async def main():\n  server = await asyncio.start_server(serve, '127.0.0.1', 8000)\n"
        "  reader, writer = await asyncio.open_connection('127.0.0.1', 8000)\n"
        "  writer.write(b'hello\\n'); print(await reader.read()); server.close()\nasyncio.run(main())"
    )
    assert answer["stdout"] == "b'HELLO\\n'\n"


ATTACKS = {
    "reach another host": "s = socket.socket(); s.settimeout(1)\nattempt(lambda: s.connect(('192.0.2.1', 80)), errno.ENETUNREACH)",
    "reach another host over IPv6": (
        "s = socket.socket(socket.AF_INET6); s.settimeout(1)\nattempt(lambda: s.connect(('2001:db8::1', 80)), errno.ENETUNREACH)"
    ),
    "send to everybody": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)\n"
        "attempt(lambda: s.sendto(b'x', ('255.255.255.255', 9)), errno.ENETUNREACH)"
    ),
    "send to a group": (
        "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\nattempt(lambda: s.sendto(b'x', ('224.0.0.1', 9)), errno.ENETUNREACH)"
    ),
    "change the interface": (
        "import fcntl\ns = socket.socket(); request = b'lo'.ljust(16, b'\\0') + bytes(24)\n"
        "attempt(lambda: fcntl.ioctl(s, 0x8914, request), errno.ENOTTY)"
    ),
    "give it an address": (
        "import fcntl\ns = socket.socket()\nrequest = b'lo'.ljust(16, b'\\0') + bytes([2, 0, 0, 0, 10, 0, 0, 1]) + bytes(16)\n"
        "attempt(lambda: fcntl.ioctl(s, 0x8916, request), errno.ENOTTY)"
    ),
    "see what passes": "attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP), errno.EPERM)",
    "a port of the system's": "s = socket.socket()\nattempt(lambda: s.bind(('127.0.0.1', 80)), errno.EACCES)",
    "ask the kernel for routes": "attempt(lambda: socket.socket(16, socket.SOCK_RAW, 0), errno.EAFNOSUPPORT)",
}


@table(ATTACKS)
def test_it_reaches_nothing_else(cell: Prison, program: str) -> None:
    cell.attack(program)


def test_the_server_of_the_host_is_not_reached(talking: Server, cell: Prison) -> None:
    port = talking.client.base_url.port
    cell.attack(f"attempt(lambda: socket.create_connection(('127.0.0.1', {port}), 1), errno.ECONNREFUSED)")


def test_two_runs_at_the_same_time_do_not_reach_each_other(cell: Prison) -> None:
    program = (
        "import socket, time\nbegin = time.monotonic()\ns = socket.socket(); s.bind(('127.0.0.1', 4444)); s.listen()\n"
        "s.settimeout(0.5)\ntry: s.accept(); print('a neighbour')\n"
        "except OSError: print(begin, time.monotonic())\nsocket.create_connection(('127.0.0.1', 4444))"
    )
    with ThreadPoolExecutor(2) as pool:
        one, other = (answer["stdout"].split() for answer in pool.map(cell.run, [program] * 2))
    assert max(float(one[0]), float(other[0])) < min(float(one[1]), float(other[1])), "they were not at the same time"


def test_what_waits_in_sockets_is_bounded_by_the_memory_of_the_run(cell: Prison) -> None:
    answer = cell.run(
        "import socket\nholes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(240)]\n"
        "for hole in holes: hole.bind(('127.0.0.1', 0)); hole.setblocking(False)\n"
        "for hole in holes * 9:\n  try: holes[0].sendto(bytes(60000), hole.getsockname())\n  except OSError: pass\n"
        "kept = 0\nfor hole in holes:\n  try:\n    while True: kept += len(hole.recv(60000))\n  except BlockingIOError: pass\n"
        "print(kept)"
    )
    if answer["usage"]["memory"] is not None:  # else no cgroup of this host counts memory
        assert answer["status"] == "out_of_memory" or 0 < int(answer["stdout"]) < answer["limits"]["memory"] // 2


def test_a_run_has_no_capability(cell: Prison) -> None:
    answer = cell.run(
        "import ctypes\ndata = (ctypes.c_uint32 * 6)()\nctypes.CDLL(None).capget(ctypes.byref((ctypes.c_uint32 * 2)"
        "(0x20080522, 0)), data)\nprint(list(data), [ctypes.CDLL(None).prctl(23, n, 0, 0, 0) for n in (12, 21)])"
    )
    assert answer["stdout"] == "[0, 0, 0, 0, 0, 0] [0, 0]\n"


def test_nothing_is_left_when_the_answer_is_there(talking: Server, cell: Prison) -> None:
    program = (
        "import socket\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "c = socket.create_connection(s.getsockname()); c.send(bytes(65536))"
    )
    cell.run("")
    before = held(talking)
    for _ in range(20):
        cell.run(program)
    after = held(talking)
    assert after.pop("descriptors") <= before.pop("descriptors")
    assert after == before

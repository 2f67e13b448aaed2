"""Programs that print as awkwardly as they can: others are served meanwhile, and the server's memory stays small."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from serving import Server
from web.test_memory import Memory

pytestmark = pytest.mark.alone

PACKETS = """
import fcntl, os, time
fcntl.fcntl(1, fcntl.F_SETFL, fcntl.fcntl(1, fcntl.F_GETFL) | os.O_DIRECT)
end = time.monotonic() + {seconds}
while time.monotonic() < end: os.write(1, b"x")
"""
"""Each read of the server returns one byte (O_DIRECT, pipe(2))."""


def evaluate(server: Server, code: str) -> httpx.Response:
    return httpx.post(f"{server.client.base_url}/eval", json={"input": code}, timeout=60)


def test_others_are_answered_while_two_programs_print_packets_of_one_byte(server: Server) -> None:
    times = []
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(evaluate, server, PACKETS.format(seconds=4)) for _ in range(2)]
        while not all(answer.done() for answer in answers):
            begin = time.perf_counter()
            assert server.client.get("/healthz").status_code == 200
            times.append(time.perf_counter() - begin)
            time.sleep(0.01)
    assert len(times) > 100
    times.sort()
    assert times[int(len(times) * 0.99)] < 0.1
    for answer in answers:
        assert len(answer.result().json()["stdout"]) > 10_000


def test_packets_of_one_byte_take_little_memory_of_the_server(server: Server) -> None:
    evaluate(server, "print('x' * 900_000)")
    memory = Memory(server.process.pid)
    answer = evaluate(server, PACKETS.format(seconds=4)).json()
    assert len(answer["stdout"]) > 200_000
    assert memory.growth() < 10 * len(answer["stdout"])

"""Clients that evaluate without pause while something happens, none of which may fail."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from serving import Server


@dataclass
class Crowd:
    """Clients that evaluate without pause.

    Attributes:
        times: Start and length of each request, in seconds.
        failures: Answers that were not as they should be.
    """

    times: list[tuple[float, float]] = field(default_factory=list)
    failures: list[tuple[int, bytes]] = field(default_factory=list)
    is_over: bool = False

    def evaluate(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while not self.is_over:
            begin = time.monotonic()
            connection.request("POST", "/eval", json.dumps({"input": "print(1)"}))
            answer = connection.getresponse()
            body = answer.read()
            self.times.append((begin, time.monotonic() - begin))
            if answer.status != 200 or json.loads(body)["stdout"] != "1\n":
                self.failures.append((answer.status, body))
        connection.close()


@contextmanager
def crowd(server: Server, clients: int = 4) -> Iterator[Crowd]:
    """Have clients evaluate meanwhile; none of them may be failed."""
    found = Crowd()
    port = server.client.base_url.port
    threads = [threading.Thread(target=found.evaluate, args=(port,)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        found.is_over = True
        for thread in threads:
            thread.join()
    assert found.failures == []
    assert len(found.times) > 10


def until(condition: Callable[[], object], seconds: float = 20.0) -> float:
    """Wait for something; return how long that took."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() < begin + seconds
        time.sleep(0.01)
    return time.monotonic() - begin

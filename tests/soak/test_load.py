"""Twenty thousand mixed evaluations at twice the capacity: none is lost, none gets another's answer, nothing grows."""

import os
import statistics
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from leftovers import held
from serving import Server
from soak.conftest import Start
from soak.load import Case, Tally, bear, cases

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

EVALUATIONS = 20_000
CLIENTS = 2 * ((os.cpu_count() or 1) + 8)
SAMPLES = 20


def memory(server: Server) -> int:
    """Bytes of the server's own memory."""
    status = Path(f"/proc/{server.process.pid}/smaps_rollup").read_text()
    return 1024 * int(next(line for line in status.splitlines() if line.startswith("Pss:")).split()[1])


def watched(load: Iterator[Case], server: Server, every: int, samples: list[dict[str, int]]) -> Iterator[Case]:
    """Take a sample before each so many cases."""
    for number, case in enumerate(load):
        if number % every == 0:
            counts = {name: len(what) if isinstance(what, list) else what for name, what in held(server).items()}
            samples.append({"sent": number, **counts, "memory": memory(server)})
        yield case


def test_nothing_is_lost_and_nothing_grows(start: Start, scale: float) -> None:
    count = int(EVALUATIONS * scale)
    samples: list[dict[str, int]] = []
    tally = Tally()
    with start() as server:
        anyio.run(lambda: bear(str(server.client.base_url), cases(200), clients=CLIENTS, tally=Tally()))
        anyio.run(anyio.sleep, 6)  # until connections that were kept for more are closed
        before = held(server)
        load = watched(cases(count), server, count // SAMPLES, samples)
        anyio.run(lambda: bear(str(server.client.base_url), load, clients=CLIENTS, tally=tally))
        anyio.run(anyio.sleep, 6)
        after = held(server)
    print("\n" + "\t".join(samples[0]), *("\t".join(map(str, sample.values())) for sample in samples), sep="\n")
    print(f"answered {dict(tally.answered)}, refused and sent again {tally.refused}")
    assert (tally.lost, tally.wrong) == ([], [])
    assert tally.answered.total() == count
    assert after == before
    tenths = [statistics.mean(sample["memory"] for sample in samples[at : at + 2]) for at in (2, SAMPLES - 2)]
    assert abs(tenths[1] - tenths[0]) < 10e6, f"{tenths[0] / 1e6:.1f} MB, then {tenths[1] / 1e6:.1f} MB"

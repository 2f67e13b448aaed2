"""Two hundred random edits of the registry under load: what is valid is served, all else changes nothing."""

import os
import re
import time
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crowds import Crowd, crowd, until
from serving import Server, await_fork_servers, running_server
from snekhouse.errors import RegistryError
from snekhouse.registry.loading import parse

EDITS = max(10, int(200 * float(os.environ.get("SNEKHOUSE_SOAK", "1"))))

RUNTIMES = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.fixed_dictionaries(
        {},
        optional={
            "start": st.sampled_from(['"fork"', '"cold"']),
            "limits.wall_time": st.floats(1, 9).map(str),
            "limits.memory": st.integers(60, 90).map('"{}MiB"'.format),
            "preload": st.sampled_from(["[]", '["json"]']),
            "files.limit": st.integers(0, 100).map(str),
        },
    ),
    max_size=2,
)
MISTAKES = st.sampled_from(
    ["\nbroken[", "\nunknown = 1\n", '\n[runtimes.d]\nexecutable = "relative"\n', "\n[server]\nqueue = -1\n", "\n\x00"]
)
WAYS = st.sampled_from(["in place", "renamed", "in pieces"])


def save(path: Path, text: str, way: str) -> None:
    if way == "renamed":
        draft = path.with_name("draft~")
        draft.write_text(text)
        draft.replace(path)
    elif way == "in pieces":
        with path.open("w") as file:
            for start in range(0, len(text), 300):
                file.write(text[start : start + 300])
                file.flush()
                time.sleep(0.005)
    else:
        path.write_text(text)


def state(server: Server) -> tuple[str, str]:
    """Read the hash of what is served, and how many reloads there were."""
    numbers = server.client.get("/metrics").text
    return re.findall(r'info\{hash="(\w+)"\}', numbers)[0], str(re.findall(r"reloads_total\{.*", numbers))


def p99(lengths: list[float]) -> float:
    return sorted(lengths)[len(lengths) * 99 // 100]


def during(found: Crowd, spans: list[tuple[float, float]]) -> list[float]:
    return [length for begin, length in found.times if any(a <= begin + length and begin <= b for a, b in spans)]


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_random_edits_under_load(small: Path, tmp_path: Path) -> None:
    only = small.read_text()
    table = only[only.index("executable") :]
    swaps: list[tuple[float, float]] = []

    def written(runtimes: dict[str, dict[str, str]]) -> str:
        tables = ""
        for name, keys in runtimes.items():
            lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
            tables += f"\n[runtimes.{name}]\n{lines}{table}"
        return 'default = "only"\n' + only + tables

    with running_server(small, tmp_path / "log") as server:
        await_fork_servers(server.client)
        with crowd(server) as found:
            time.sleep(1)
            calm = (time.monotonic(), time.monotonic() + 10)
            time.sleep(10)

            @settings(max_examples=EDITS, database=None, suppress_health_check=list(HealthCheck))
            @given(RUNTIMES, st.none() | MISTAKES, WAYS)
            def edit(runtimes: dict[str, dict[str, str]], mistake: str | None, way: str) -> None:
                text = f"# {time.time_ns()}\n{written(runtimes)}{mistake or ''}"
                served, reloads = state(server)
                begin = time.monotonic()
                save(small, text, way)
                try:
                    expected = parse(text.encode(), "").digest
                    until(partial(lambda digest: state(server)[0] == digest, expected), 10)
                    swaps.append((begin, time.monotonic()))
                    assert server.client.get("/runtimes").json()["runtimes"][0]["status"] == "available"
                except RegistryError:
                    until(lambda: state(server)[1] != reloads, 10)
                    assert state(server)[0] == served

            edit()
        lengths, quiet = during(found, swaps), during(found, [calm])
        took = sorted(b - a for a, b in swaps)
        print(
            f"\n{EDITS} edits, {len(swaps)} of them served after {took[len(took) // 2]:.2f} s, {took[-1]:.2f} s at most; "
            f"{len(found.times)} requests, none failed; p99 {p99(quiet) * 1e3:.1f} ms calm, {p99(lengths) * 1e3:.1f} ms in swaps"
        )
        assert took[-1] < 2
        assert p99(lengths) < 2 * p99(quiet)

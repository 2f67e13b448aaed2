"""What is told of concurrency, CPUs and memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from snekhouse.registry.models import Registry
from snekhouse.registry.sizing import advice, standing_memory

Load = Callable[[str], Registry]

_GIB = 1 << 30
_ONE = '[runtimes.a]\nexecutable = "/a"\n'


def _server(settings: str, rest: str = _ONE) -> str:
    return f"[server]\n{settings}\n{rest}"


def test_what_fits_is_told_with_the_concurrency_that_memory_allows(load_text: Load) -> None:
    places, memory = advice(load_text(_server("concurrency = 4")), 4, _GIB)
    assert places == (
        "concurrency: 4 evaluations at once on 4 CPUs; a program that only waits also takes a slot, for at most 6 s"
    )
    assert memory == (
        "memory: 4 evaluations of 70.0MiB each, fork servers and server need at most 408.0MiB; the server may use "
        "1.0GiB; memory alone allows a concurrency of 12"
    )


def test_sessions_count_as_evaluations_that_never_end(load_text: Load) -> None:
    *_, memory = advice(load_text(_server("concurrency = 4\nsessions = 10")), 4, _GIB)
    assert memory.startswith(
        "memory: 4 evaluations and 10 sessions of 70.0MiB each, fork servers and server need at most 1.1GiB"
    )
    *_, memory = advice(load_text(_server("concurrency = 4\nsessions = 100")), 4, _GIB)
    assert memory.endswith("lower limits.memory or sessions")


def test_more_places_than_cpus_are_told(load_text: Load) -> None:
    _, hint, _ = advice(load_text(_server("concurrency = 64")), 2, 64 * _GIB)
    assert "64 is more than 2 CPUs" in hint
    assert "write concurrency = 2" in hint


@pytest.mark.parametrize("cpus", [0.5, 1.0])
def test_one_place_is_never_too_much(load_text: Load, cpus: float) -> None:
    assert len(list(advice(load_text(_server("concurrency = 1")), cpus, _GIB))) == 2


def test_runs_that_need_more_than_there_is_are_told_with_what_would_fit(load_text: Load) -> None:
    registry = load_text(_server("concurrency = 8", _ONE + '[runtimes.a.limits]\nmemory = "256MiB"\n'))
    *_, memory = advice(registry, 8, _GIB)
    assert "need at most 2.1GiB; the server may use 1.0GiB; write concurrency = 3, or a lower limits.memory" in memory


def test_a_run_larger_than_the_machine_has_another_remedy(load_text: Load) -> None:
    registry = load_text(_server("concurrency = 1", _ONE + '[runtimes.a.limits]\nmemory = "4GiB"\n'))
    *_, memory = advice(registry, 8, _GIB)
    assert memory.endswith("; lower limits.memory")


def test_packages_count_where_there_are_any_unless_the_registry_lists_modules(load_text: Load, tmp_path: Path) -> None:
    packages = f'[defaults]\npackages = "{tmp_path}/{{runtime}}"\n'
    without = standing_memory(load_text(_ONE + packages))
    (tmp_path / "a/lib/python3.13/site-packages/numpy").mkdir(parents=True)
    assert standing_memory(load_text(_ONE + packages)) == without + (128 << 20)
    assert standing_memory(load_text(_ONE + packages + 'preload_memory = "1MiB"\n')) == without + (1 << 20)
    assert standing_memory(load_text(_ONE + packages + "preload = []\n")) == without


def test_fork_servers_count_for_each_worker_and_not_where_runs_start_cold(load_text: Load) -> None:
    two = _ONE + '[runtimes.b]\nexecutable = "/b"\n'
    text = 'default = "a"\n' + _server("concurrency = 2", two)
    cold = standing_memory(load_text(text + '[defaults]\nstart = "cold"\n'))
    forked = standing_memory(load_text(text.replace("[server]", "[server]\nworkers = 2")))
    assert forked == 2 * (cold + 2 * (38 << 20))

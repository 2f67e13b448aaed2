"""The metrics of a server for Prometheus. With several workers, each metric is the sum over all of them."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import anyio
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    values,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

_FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable with the folder to which several processes write their metrics."""

_LAG_PERIOD_S = 0.1
"""Seconds between two measurements of the event loop's lag."""

_RUN_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_WAIT_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30)
_LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """The metrics of one process. docs/reference/metrics.md lists them."""

    def __init__(self) -> None:
        # Settings of the library for the whole process: no metrics of creation times, and the folder that workers
        # share, which was not known when the library was imported.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]
        own = self._own = CollectorRegistry()
        self._evals = Counter(
            "snekhouse_evals_total", "Evaluations, by how they ended.", ("runtime", "status"), registry=own
        )
        self._seconds = Histogram(
            "snekhouse_eval_seconds",
            "Seconds from the start of an evaluation to its result.",
            ("runtime",),
            registry=own,
            buckets=_RUN_BUCKETS,
        )
        self._queue_seconds = Histogram(
            "snekhouse_queue_seconds",
            "Seconds that an evaluation waited in the queue.",
            registry=own,
            buckets=_WAIT_BUCKETS,
        )
        gauge = partial(Gauge, registry=own, multiprocess_mode="livesum")
        self._in_progress = gauge("snekhouse_evals_in_progress", "Evaluations in progress.")
        self._queue_length = gauge("snekhouse_queue_length", "Evaluations and requests of sessions in the queue.")
        self._sessions = gauge("snekhouse_sessions", "Open sessions.")
        self._session_memory = gauge("snekhouse_sessions_memory_bytes", "Memory of all sessions.")
        self._fork_server_starts = Counter(
            "snekhouse_fork_server_starts_total",
            "Attempts to start a fork server, by reason.",
            ("runtime", "reason"),
            registry=own,
        )
        self._reloads = Counter(
            "snekhouse_registry_reloads_total", "Reloads of the registry.", ("outcome",), registry=own
        )
        self._lag = Histogram(
            "snekhouse_event_loop_lag_seconds",
            "Seconds by which the event loop woke a task too late.",
            registry=own,
            buckets=_LAG_BUCKETS,
        )
        for outcome in ("reloaded", "refused"):
            self._reloads.labels(outcome)  # exists from the start, so that the first reload shows as an increase

    @contextmanager
    def queued(self) -> Iterator[None]:
        """Count an evaluation as waiting while the body runs."""
        with self._queue_length.track_inprogress():
            yield

    @contextmanager
    def running(self, runtime: str, waited: float) -> Iterator[None]:
        """Count an evaluation as running while the body runs, and measure its time."""
        self._queue_seconds.observe(waited)
        with self._in_progress.track_inprogress(), self._seconds.labels(runtime).time():
            yield

    def ended(self, runtime: str, status: str) -> None:
        """Count an evaluation by its status, or as ``abandoned`` or ``refused`` (docs/reference/metrics.md)."""
        self._evals.labels(runtime, status).inc()

    def sessions_open(self, count: int, memory: int) -> None:
        """Set the number of open sessions, and the bytes of memory that they hold."""
        self._sessions.set(count)
        self._session_memory.set(memory)

    def fork_server_started(self, runtime: str, reason: str) -> None:
        """Count an attempt to start a fork server."""
        self._fork_server_starts.labels(runtime, reason).inc()

    def reloaded(self, outcome: str) -> None:
        """Count a reload."""
        self._reloads.labels(outcome).inc()

    async def measure_lag(self) -> None:
        """Measure again and again how late the event loop wakes a task, until cancelled."""
        while True:
            due = time.monotonic() + _LAG_PERIOD_S
            await anyio.sleep(_LAG_PERIOD_S)
            self._lag.observe(max(0.0, time.monotonic() - due))

    def evaluations(self, runtime: str) -> dict[str, int]:
        """Return how many evaluations of a runtime ended with each status."""
        samples = (sample for family in self._shared().collect() for sample in family.samples)
        return {
            sample.labels["status"]: int(sample.value)
            for sample in samples
            if sample.name == "snekhouse_evals_total" and sample.labels["runtime"] == runtime
        }

    def collect(self, *, runtimes: Mapping[str, bool], digest: str) -> CollectorRegistry:
        """Collect all metrics.

        Args:
            runtimes: Whether each runtime can evaluate, by its name.
            digest: The digest of the registry that is served.
        """
        gathered = CollectorRegistry()
        gathered.register(_CurrentState(runtimes, digest))
        gathered.register(self._shared())
        if folder := os.environ.get(_FOLDER_VARIABLE):
            gathered.register(_Processes(folder))
        else:
            ProcessCollector(registry=gathered)
        return gathered

    def _shared(self) -> Collector:
        """Return the collector of all workers' numbers."""
        return MultiProcessCollector(None) if os.environ.get(_FOLDER_VARIABLE) else self._own  # type: ignore[no-untyped-call]


def share_numbers(folder: Path) -> None:
    """Make this process and those that it forks write their metrics to one folder."""
    os.environ[_FOLDER_VARIABLE] = str(folder)


def forget_process(pid: int) -> None:
    """Remove the gauges of a process that has ended; its counters stay."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]


class _CurrentState(Collector):
    """The current state, which is the same in every worker."""

    def __init__(self, runtimes: Mapping[str, bool], digest: str) -> None:
        self._runtimes, self._digest = runtimes, digest

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("snekhouse_runtime_up", "Whether a runtime can evaluate.", labels=("runtime",))
        for name, is_up in self._runtimes.items():
            up.add_metric((name,), is_up)
        yield up
        info = GaugeMetricFamily("snekhouse_registry_info", "The registry that is served.", labels=("hash",))
        info.add_metric((self._digest,), 1)
        yield info


class _Processes(Collector):
    """The processes that write their metrics to a folder, each with its process id as a label."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def collect(self) -> Iterable[Metric]:
        found: dict[str, Metric] = {}
        pids = {file.stem.rpartition("_")[2] for file in self._folder.glob("*.db")}
        for pid in sorted(pid for pid in pids if Path("/proc", pid).exists()):
            for family in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                known = found.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                known.samples += [sample._replace(labels={"pid": pid}) for sample in family.samples]
        return found.values()

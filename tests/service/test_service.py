"""The server: what is broken keeps nothing else from serving, and what is too much is refused."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from leftovers import guests
from snekhouse.errors import BusyError, HostError, InterpreterError, RegistryError
from snekhouse.evaluation import Job, Result, Status
from snekhouse.host.cgroups import Detection
from snekhouse.registry.models import Mount, Registry, Runtime
from snekhouse.service import Service, open_service

pytestmark = pytest.mark.anyio

NO_CGROUPS = Detection(None, "none", frozenset({"memory", "pids", "cpu"}), "nothing is mounted here")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def state() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield folder


@pytest.fixture
def small(registry: Registry, state: str) -> Registry:
    """A registry of the default runtime alone."""
    return only(registry, registry.resolve(registry.default), state=state)


def only(registry: Registry, *runtimes: Runtime, **server: object) -> Registry:
    return registry.model_copy(
        update={
            "default": runtimes[0].name,
            "runtimes": {runtime.name: runtime for runtime in runtimes},
            "server": registry.server.model_copy(update={"sessions": 0} | server),
        }
    )


async def evaluate(service: Service, code: str) -> Result:
    runtime = service.registry.resolve(service.registry.default)
    return await service.evaluate(runtime, Job(args=("-c", code), limits=runtime.limits))


async def test_a_broken_runtime_is_listed_with_its_reason_and_the_others_serve(small: Registry) -> None:
    good = small.resolve(small.default)
    broken = good.model_copy(update={"name": "broken", "executable": "/no/such/python"})
    async with open_service(only(small, good, broken, state=small.server.state)) as service:
        assert "/no/such/python" in service.runtimes["broken"].reason
        service.require_ready()
        assert (await evaluate(service, "print(1)")).stdout == "1\n"
        with pytest.raises(BusyError, match="broken is unavailable"):
            await service.evaluate(broken, Job(args=("-c", ""), limits=broken.limits))


async def test_an_interpreter_that_lacks_a_library_is_told_with_the_loaders_words(small: Registry) -> None:
    good = small.resolve(small.default)
    kept = tuple(mount for mount in good.mounts if mount.source == mount.target and "linux-gnu" not in mount.source)
    broken = good.model_copy(update={"mounts": (*kept, *_loader(good))})
    async with open_service(only(small, broken, state=small.server.state), require_runtime=False) as service:
        assert "cannot open shared object file" in service.runtimes[broken.name].reason


def _loader(runtime: Runtime) -> tuple[Mount, ...]:
    """The program loader alone, without the libraries that it will look for."""
    return tuple(mount for mount in runtime.mounts if "ld-linux" in mount.source)


async def test_a_missing_mandatory_mount_is_the_reason(small: Registry) -> None:
    good = small.resolve(small.default)
    mount = good.mounts[0].model_copy(update={"source": "/no/such/folder", "target": "/x"})
    broken = good.model_copy(update={"mounts": (*good.mounts, mount)})
    async with open_service(only(small, broken, state=small.server.state), require_runtime=False) as service:
        assert "/no/such/folder" in service.runtimes[broken.name].reason
        with pytest.raises(BusyError, match="is unavailable"):
            service.require_ready()


async def test_a_house_without_any_runtime_does_not_open(small: Registry) -> None:
    broken = small.resolve(small.default).model_copy(update={"executable": "/no/such/python"})
    with pytest.raises(InterpreterError, match=r"no runtime of .* is available") as caught:
        async with open_service(only(small, broken, state=small.server.state)):
            pass
    assert "snekhouse runtimes discover" in str(caught.value)


async def test_a_missing_optional_mount_is_no_matter(small: Registry) -> None:
    good = small.resolve(small.default)
    mount = good.mounts[0].model_copy(update={"source": "/no/such/folder", "target": "/x", "mandatory": False})
    runtime = good.model_copy(update={"mounts": (*good.mounts, mount)})
    async with open_service(only(small, runtime, state=small.server.state)) as service:
        assert (await evaluate(service, "print(1)")).stdout == "1\n"


async def test_an_interpreter_that_goes_away_is_an_internal_error_with_its_reason(
    small: Registry, tmp_path: Path
) -> None:
    good = small.resolve(small.default)
    gone = tmp_path / "gone"
    gone.mkdir()
    mount = good.mounts[0].model_copy(update={"source": str(gone), "target": "/gone"})
    runtime = good.model_copy(update={"mounts": (*good.mounts, mount), "start": "cold"})
    async with open_service(only(small, runtime, state=small.server.state)) as service:
        gone.rmdir()
        result = await evaluate(service, "print(1)")
        assert (result.status, result.returncode, result.stdout) == (Status.INTERNAL_ERROR, 255, "")
        assert str(gone) in result.message
        assert result.usage.wall_time == 0
        gone.mkdir()
        assert (await evaluate(service, "print(1)")).status is Status.OK


async def test_a_hostile_environment_reaches_the_program_as_it_is(small: Registry) -> None:
    value = 'x"\nmount { src: "/" dst: "/host" is_bind: true rw: true }\n#\\é'
    runtime = small.resolve(small.default)
    hostile = runtime.model_copy(update={"env": {**runtime.env, "X": value}})
    async with open_service(only(small, hostile, state=small.server.state)) as service:
        code = "import os; os.write(1, os.environb[b'X']); print(os.path.exists('/host'))"
        assert (await evaluate(service, code)).stdout == value + "False\n"


async def test_no_more_evaluations_run_at_once_than_there_are_places(small: Registry) -> None:
    async with open_service(only(small, *small.runtimes.values(), state=small.server.state, concurrency=1)) as service:
        results: list[Result] = []

        async def one() -> None:
            results.append(await evaluate(service, "import time; time.sleep(0.2)"))

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(one)
    waits = sorted(result.usage.queue_time for result in results)
    assert waits[0] < 0.1
    assert 0.2 <= waits[1] < waits[2]
    assert waits[2] >= 0.4


async def test_no_two_runs_have_the_same_id_on_the_host_at_once(small: Registry) -> None:
    uids = [1_900_000_000, 1_900_000_019]  # nobody else's here
    server = {"state": small.server.state, "concurrency": 3, "uids": uids}
    async with open_service(only(small, *small.runtimes.values(), **server)) as service:
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(evaluate, service, "import time; time.sleep(1)")
            await anyio.sleep(0.5)
            users = guests(*uids).values()
        assert len(users) == len(set(users)) == 3
        await evaluate(service, "")
    assert guests(*uids) == {}


async def test_an_evaluation_that_the_end_of_the_server_cancels_is_counted_once(small: Registry) -> None:
    uids = [1_900_000_020, 1_900_000_039]
    registry = only(small, *small.runtimes.values(), state=small.server.state, uids=uids)
    async with open_service(registry) as service:
        async with anyio.create_task_group() as tasks:

            async def one() -> None:
                with pytest.raises(BusyError, match="shutting down"):
                    await evaluate(service, "import time; time.sleep(60)")

            tasks.start_soon(one)
            with anyio.fail_after(20):
                while not guests(*uids):  # noqa: ASYNC110 - what it waits for happens in other processes
                    await anyio.sleep(0.01)
            await service.drain(0)
        gathered = service.metrics.collect(runtimes={}, digest="")
    counted = {
        sample.labels["status"]: sample.value
        for family in gathered.collect()
        for sample in family.samples
        if sample.name == "snekhouse_evals_total"
    }
    assert counted == {"abandoned": 1}


async def test_a_change_that_needs_more_ids_than_the_server_took_is_refused(small: Registry) -> None:
    server = {"state": small.server.state, "concurrency": 3, "uids": [1_900_000_040, 1_900_000_051]}
    async with open_service(only(small, *small.runtimes.values(), **server)) as service:
        before = service.runtimes
        with pytest.raises(
            RegistryError, match="reserved 12 of these ids at its start; this registry needs 13; restart"
        ):
            await service.change(only(small, *small.runtimes.values(), **(server | {"concurrency": 4})))
        assert service.runtimes is before
        assert (await evaluate(service, "print(1)")).stdout == "1\n"


async def test_what_the_queue_cannot_hold_is_refused(small: Registry) -> None:
    server = {"state": small.server.state, "concurrency": 1, "queue": 1}
    async with open_service(only(small, *small.runtimes.values(), **server)) as service:
        refused: list[BusyError] = []

        async def one() -> None:
            try:
                await evaluate(service, "import time; time.sleep(0.2)")
            except BusyError as error:
                refused.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(one)
    assert len(refused) == 3
    assert refused[0].retry_after >= 1


async def test_a_cancelled_evaluation_ends_at_once_and_frees_its_place(small: Registry) -> None:
    async with open_service(only(small, *small.runtimes.values(), state=small.server.state, concurrency=1)) as service:
        begin = anyio.current_time()
        for delay in (0.0, 0.005, 0.01, 0.02, 0.05, 0.2):
            with anyio.move_on_after(delay):
                await evaluate(service, "while True: pass")
        assert anyio.current_time() - begin < 2
        assert (await evaluate(service, "print(1)")).stdout == "1\n"


async def test_missing_walls_are_a_refusal_unless_allowed(small: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snekhouse.host.survey.detect", lambda: NO_CGROUPS)
    refusing = only(small, *small.runtimes.values(), state=small.server.state, allow_degraded=False)
    with pytest.raises(HostError, match=r"cgroup memory.*nothing is mounted"):
        async with open_service(refusing):
            pass


async def test_missing_walls_are_one_warning_with_the_details_below_it(
    small: Registry, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("snekhouse.host.survey.detect", lambda: NO_CGROUPS)
    caplog.set_level("INFO", "snekhouse.service")
    async with open_service(only(small, *small.runtimes.values(), state=small.server.state)):
        pass
    (warning,) = (each.getMessage() for each in caplog.records if each.levelname == "WARNING")
    assert warning.startswith("degraded: missing walls: cgroup memory, cgroup pids, cgroup cpu")
    assert "snekhouse doctor" in warning
    told = [each.getMessage() for each in caplog.records if each.getMessage().startswith("missing wall: ")]
    assert "nothing is mounted here" in told[0]
    assert len(told) >= 3


@pytest.mark.parametrize("start", ["fork", "cold"])
async def test_without_cgroups_the_rlimits_stand_and_memory_is_unmeasured(
    small: Registry, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    monkeypatch.setattr("snekhouse.host.survey.detect", lambda: NO_CGROUPS)
    runtime = small.resolve(small.default).model_copy(update={"start": start})
    async with open_service(only(small, runtime, state=small.server.state)) as service:
        await service.settled()
        assert service.runtimes[runtime.name].cold_reason == ""
        result = await evaluate(service, "x = b'x' * (800 << 20)")
        assert "MemoryError" in result.stdout
        assert result.usage.memory is None
        assert result.usage.cpu_time > 0
        code = "import os, time\ntry:\n  for n in range(99):\n    if not os.fork(): time.sleep(9)\nexcept OSError: print(n)"
        assert (await evaluate(service, code)).stdout == f"{runtime.limits.processes - 1}\n"
        few = Job(args=("-c", code), limits=runtime.limits.model_copy(update={"processes": 3}))
        result = await service.evaluate(runtime, few)
        assert result.stdout == "2\n", result

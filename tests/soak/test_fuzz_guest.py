"""Any bytes, descriptors and timing from a guest: the host gets a result of its run, in time, and keeps nothing."""

import time
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snekhouse.evaluation import Job, Result
from snekhouse.host.survey import survey_for
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.run import run
from snekhouse.jail.start import Start
from snekhouse.profile.rendering import render_profile
from snekhouse.registry.loading import load
from snekhouse.service import open_service
from soak.fuzzing import MINUTES, ROUND, fuzz

pytestmark = [pytest.mark.soak, pytest.mark.timeout(3600)]

PATIENCE = 1.0

FRAMES = st.sampled_from(
    (b"snekhouse 1\n", b"snekhouse 2\n", b"snekhouse", b"R", b"R" + bytes(16), b"R" + b"\xff" * 32, b"E", b"E" + bytes(8),
     b"E" + b"\xff" * 8, b"\0" * 4, b"\xff" * 4)
)  # fmt: skip
STEPS = st.one_of(
    st.builds("control.sendall({!r})".format, FRAMES | st.binary(max_size=40)),
    st.builds("socket.send_fds(control, [{!r}], [{}][:{}] * {})".format, FRAMES, st.just("home, 0, 1, pipe, memory, control.fileno()"),
              st.integers(0, 6), st.integers(0, 5)),
    st.builds("read({})".format, st.integers(0, 40)),
    st.builds("time.sleep({})".format, st.sampled_from((0, 0.001, 0.01, 0.1))),
    st.sampled_from(
        (
            "control.close()", "control.shutdown(socket.SHUT_WR)", "control.shutdown(socket.SHUT_RD)", "os._exit(255)", "os._exit(0)",
            "os.abort()", "os.kill(1, 9)", "os.fork()", "os.write(1, b'\\xff' * 9999)", "os.write(2, b'[E] lies')", "os.rmdir('/home/x')",
            "os.mkdir('/home/x')", "os.symlink('/etc', '/home/y')", "os.closerange(0, 99)", "read(1 << 20)", "raise SystemExit(7)",
        )
    ),
)  # fmt: skip

HOSTILE = """
import os, socket, time
control = socket.socket(fileno=3)
home, memory, pipe = os.open('/home', 0), os.memfd_create('x'), os.pipe()[0]
control.settimeout(0.5)
def read(size):
    while size > 0:
        got = control.recv(min(size, 65536))
        if not got: break
        size -= len(got)
def hello():
    socket.send_fds(control, [b'snekhouse 1\\n'], [home])
    control.recv(4)
steps = [{steps}]
for step in steps:
    try: exec(step)
    except (OSError, ValueError): pass
"""


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def outcome(prepared: PreparedRuntime, start: Start) -> Result:
    with anyio.fail_after(20):
        job = Job(args=("-c", "print(1)"), limits=prepared.runtime.limits.model_copy(update={"wall_time": 0.5}))
        return await run(prepared, job, start)


def test_any_guest_gets_a_result(
    small: Path, tmp_path: Path, packages: Path, scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snekhouse.jail.run.START_TIMEOUT_S", PATIENCE)
    small.write_text(small.read_text() + 'start = "cold"\n')  # a fork server that starts meanwhile takes descriptors
    registry = load(small)
    runtime = registry.resolve(registry.default)
    bootstrap, profile = packages / "hostile.py", tmp_path / "hostile.cfg"
    host = survey_for(registry)
    profile.write_text(
        render_profile(
            runtime, identity=host.identities[runtime.name], bootstrap=bootstrap, limited=host.cgroups.limited
        )
    )

    async def opened() -> int:
        async with open_service(registry) as service:
            state = service.runtimes[runtime.name]
            prepared = replace(state.prepared, profile=profile, bootstrap=bootstrap)

            @ROUND
            @given(st.booleans(), st.lists(STEPS, max_size=8))
            def meet(polite: bool, steps: list[str]) -> None:
                bootstrap.write_text(HOSTILE.format(steps=", ".join(map(repr, ["hello()"] * polite + steps))))
                bootstrap.chmod(0o644)
                before, begin = descriptors(), time.monotonic()
                result = anyio.from_thread.run(outcome, prepared, state.preparation.starter.cold)
                assert isinstance(result, Result)
                assert time.monotonic() - begin < 3 * PATIENCE + 3
                assert descriptors() <= before

            return await anyio.to_thread.run_sync(lambda: fuzz(meet, MINUTES * scale))

    rounds = anyio.run(opened)
    print(f"{rounds} rounds of {ROUND.max_examples} guests")

"""Runtimes from a root file system: its /usr and its loader are theirs, and nothing of the host's."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from roots import EXECUTABLE, make_root
from snekhouse.evaluation import Job, Result
from snekhouse.registry.loading import parse
from snekhouse.registry.models import Registry
from snekhouse.service import open_service

pytestmark = pytest.mark.anyio

OURS = Path(getattr(sys, "_base_executable", sys.executable)).resolve()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield make_root(Path(folder, "root"), OURS)


def registry_with(root: Path, *, start: str = "fork", more: str = "") -> Registry:
    text = f"""
        [server]
        allow_degraded = true
        [runtimes.rooted]
        executable = "{EXECUTABLE}"
        root = "{root}"
        start = "{start}"
        {more}
    """
    return parse(text.encode(), "runtimes.toml")


async def evaluated(registry: Registry, code: str) -> Result:
    async with open_service(registry) as service:
        await service.settled()
        runtime = registry.runtimes["rooted"]
        ready = service.runtimes["rooted"]
        assert (ready.reason, ready.cold_reason) == ("", "")
        return await service.evaluate(runtime, Job(args=("-c", code), limits=runtime.limits))


@pytest.mark.parametrize("start", ["fork", "cold"])
async def test_a_runtime_of_a_root_is_served_in_both_ways_to_start(root: Path, start: str) -> None:
    code = "import sys, ssl, ctypes; print('%d.%d.%d' % sys.version_info[:3], sys.executable)"
    result = await evaluated(registry_with(root, start=start), code)
    assert result.stdout == f"{'.'.join(map(str, sys.version_info[:3]))} {EXECUTABLE}\n"


async def test_of_the_root_programs_see_usr_and_the_loader_and_of_the_host_nothing(root: Path) -> None:
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/secret").touch()
    code = (
        "import os; print(sorted(os.listdir('/')), sorted(os.listdir('/usr')), sorted(os.listdir('/etc')),"
        " os.access('/usr/lib', os.W_OK))"
    )
    expected = "['dev', 'etc', 'home', 'lib', 'lib64', 'snekbox', 'snekhouse', 'usr'] ['lib', 'local'] ['group', 'passwd'] False\n"
    assert (await evaluated(registry_with(root), code)).stdout == expected


async def test_a_runtime_whose_root_is_not_there_is_told_with_a_remedy(tmp_path: Path) -> None:
    registry = registry_with(tmp_path / "gone")
    async with open_service(registry, require_runtime=False) as service:
        reason = service.runtimes["rooted"].reason
    assert f"the root {tmp_path}/gone is not a folder on this host; make a root file system there" in reason

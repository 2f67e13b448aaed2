"""The image, built from source by a real engine, and run as deploy/README.md says: never with ``--privileged``."""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from image import container
from image.container import NAME, ROOT, Service, docker, documented
from serving import await_fork_servers

pytestmark = [pytest.mark.image, pytest.mark.timeout(3600)]

_REGISTRY = Path(__file__).with_name("runtimes.toml")
_CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
_LENDS_CGROUPS = 28
"""Docker's first version with ``--security-opt writable-cgroups=true``."""

_VOLUME = f"{NAME}-packages"


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What building the image printed."""
    begin = time.monotonic()
    said = container.build(_REGISTRY, tmp_path_factory.mktemp("context"))
    print(f"\nbuilt in {time.monotonic() - begin:.0f} s")
    return said


@pytest.fixture(scope="session")
def walls(image: str) -> list[str]:
    """The flags for every wall, after what they ask of the host: of cgroup v1 or v2, for this engine."""
    assert image
    if not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        for name in _CONTROLLERS:
            Path(f"/sys/fs/cgroup/{name}/snekhouse").mkdir(exist_ok=True)
        return documented("/cgroup/memory")
    engine = docker("version", "--format", "{{.Server.Version}}").stdout
    return documented("writable-cgroups" if int(engine.split(".")[0]) >= _LENDS_CGROUPS else "snekhouse.slice")


@pytest.fixture(scope="session")
def service(walls: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A container with every wall, which forks evaluations."""
    registry = tmp_path_factory.mktemp("registry") / "runtimes.toml"
    registry.write_bytes(_REGISTRY.read_bytes())
    docker("volume", "rm", "--force", _VOLUME)
    with container.running(NAME, registry, walls, _VOLUME) as running:
        await_fork_servers(running.client)
        yield running
    docker("volume", "rm", _VOLUME)


@pytest.fixture(scope="session")
def cold_service(walls: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The same, which starts evaluations cold."""
    registry = tmp_path_factory.mktemp("cold") / "runtimes.toml"
    registry.write_text(_REGISTRY.read_text().replace("[defaults]\n", '[defaults]\nstart = "cold"\n'))
    with container.running(f"{NAME}-cold", registry, walls) as running:
        yield running


def test_interpreters_are_what_was_asked_for(service: Service) -> None:
    told = {each["name"]: each for each in service.client.get("/runtimes").json()["runtimes"]}
    assert (told["3.13"]["version"], told["3.13"]["free_threaded"]) == ("3.13.15", False)
    assert (told["3.13t"]["version"], told["3.13t"]["free_threaded"]) == ("3.13.5", True)
    assert {each["start"] for each in told.values()} == {"fork"}


def test_every_wall_stands_without_privileges(service: Service) -> None:
    assert "missing" not in docker("exec", service.name, "snekhouse", "doctor").stdout
    host = service.inspect()["HostConfig"]
    assert host["Privileged"] is False
    assert sorted(host["CapAdd"]) == ["DAC_OVERRIDE", "SETGID", "SETUID"]
    assert not any("unconfined" in option for option in host["SecurityOpt"])


def test_what_is_promised_of_any_house_holds(service: Service, cold_service: Service) -> None:
    """The tests of the contract and of isolation, from outside, in both ways to start."""
    options = {
        "--server": service.client.base_url,
        "--server-pid": service.pid,
        "--cold-server": cold_service.client.base_url,
        "--cold-server-pid": cold_service.pid,
        "--server-registry": service.registry,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract", "tests/isolation"]
    command += [f"{name}={value}" for name, value in options.items()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    print("\n" + done.stdout.strip().rpartition("\n")[2])
    assert done.returncode == 0, done.stdout[-8000:]


def test_packages_are_installed_in_the_running_container(service: Service) -> None:
    docker("exec", service.name, "snekhouse", "packages", "install", "3.13", "numpy")
    code = "import numpy; print(numpy.arange(6).reshape(2, 3).sum())"
    assert service.client.post("/eval/3.13", json={"input": code}).json()["stdout"] == "15\n"
    other = service.client.post("/eval/3.13t", json={"input": code}).json()
    assert "No module named 'numpy'" in other["stdout"]


def test_what_is_saved_in_the_volume_is_served(service: Service) -> None:
    before = service.registry.read_text()
    try:
        service.registry.write_text(before + "\n[defaults.limits]\nwall_time = 2.5\n")
        deadline = time.monotonic() + 10
        while service.client.post("/eval", json={"input": ""}).json()["limits"]["wall_time"] != 2.5:
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        service.registry.write_text(before)


def test_nothing_of_the_image_can_change(service: Service) -> None:
    for path in ("/new", "/opt/snekhouse/new", "/snekbin/python/3.13/new", "/usr/new"):
        done = docker("exec", service.name, "touch", path, check=False)
        assert "Read-only file system" in done.stderr


def test_the_engine_sees_that_it_is_healthy(service: Service) -> None:
    deadline = time.monotonic() + 90
    while service.inspect()["State"]["Health"]["Status"] != "healthy":
        assert time.monotonic() < deadline, service.inspect()["State"]["Health"]
        time.sleep(1)


def test_nothing_of_the_build_is_in_the_image(service: Service) -> None:
    for tool in ("gcc", "make", "curl", "pip"):
        assert docker("exec", service.name, "sh", "-c", f"command -v {tool}", check=False).returncode != 0
    looked = "ls -d /src /tmp/* /snekbin/python/*/include /snekbin/python/*/lib/python3*/test 2>/dev/null"
    assert docker("exec", service.name, "sh", "-c", looked, check=False).stdout == ""
    assert docker("exec", service.name, "readlink", "/snekbin/python/default").stdout == "/snekbin/python/3.13\n"


def test_bytecode_is_there_for_all_of_the_library(service: Service) -> None:
    count = "find /snekbin/python/3.13/lib/python3.13 -name '*.py{}' | wc -l"
    sources, compiled = (int(docker("exec", service.name, "sh", "-c", count.format(end)).stdout) for end in ("", "c"))
    assert sources > 500
    assert compiled > 0.98 * sources  # templates of lib2to3 and the like do not compile


def test_sigterm_lets_what_runs_finish(walls: list[str], tmp_path: Path) -> None:
    registry = tmp_path / "runtimes.toml"
    registry.write_bytes(_REGISTRY.read_bytes())
    with container.running(f"{NAME}-ending", registry, walls) as guest_exit, ThreadPoolExecutor() as pool:
        code = "import time; time.sleep(2); print('finished')"
        answer = pool.submit(guest_exit.client.post, "/eval", json={"input": code})
        time.sleep(1)
        begin = time.monotonic()
        docker("stop", "--time", "30", guest_exit.name)
        assert time.monotonic() - begin < 15
        assert answer.result().json()["stdout"] == "finished\n"
        assert guest_exit.inspect()["State"]["ExitCode"] == 0


def test_an_ordinary_user_without_capabilities_serves_where_there_are_no_cgroups(image: str, tmp_path: Path) -> None:
    assert image
    registry = tmp_path / "runtimes.toml"
    registry.write_text(_REGISTRY.read_text().replace("[server]\n", "[server]\nallow_degraded = true\n"))
    tmp_path.chmod(0o755)
    with container.running(f"{NAME}-small", registry, documented("--pids-limit")) as small:
        await_fork_servers(small.client)
        assert docker("exec", small.name, "id", "--user").stdout == "10060\n"
        assert "CapEff:\t0000000000000000" in docker("exec", small.name, "cat", "/proc/1/status").stdout
        answer = small.client.post("/eval", json={"input": "print(1)"}).json()
        assert (answer["stdout"], answer["usage"]["memory"]) == ("1\n", None)


def test_without_its_profile_it_says_what_is_missing(image: str) -> None:
    assert image
    done = docker("run", "--rm", "--cap-drop", "ALL", NAME, check=False)
    assert done.returncode == 2
    assert "namespaces: the kernel refuses namespaces: the seccomp filter of this process refuses clone" in done.stderr


def test_sizes_and_times_for_the_documentation(image: str, service: Service) -> None:
    sizes = docker("exec", service.name, "du", "-sm", "/snekbin/python/3.13", "/snekbin/python/3.13t", "/opt/snekhouse")
    whole = int(docker("image", "inspect", "--format", "{{.Size}}", NAME).stdout) / 1e6
    steps = dict(re.findall(r"(?m)^#(\d+) \[([^\]]+ 1/1|build 2/3|service \d/\d+)\]", image))
    times = [
        (steps[number], took) for number, took in re.findall(r"(?m)^#(\d+) DONE ([\d.]+)s", image) if number in steps
    ]
    print(f"\nimage {whole:.0f} MB\n{sizes.stdout}{times}")
    assert whole < 1000

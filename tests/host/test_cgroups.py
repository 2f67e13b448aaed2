"""Cgroups: found on every kind of host, limiting and measuring on this one."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from snekhouse.host.cgroups import Cgroups, Detection, GroupUsage, RunGroup, detect
from snekhouse.host.cgroups.detection import own_undelegated_unit
from snekhouse.host.cgroups.groups import Layout, server_group, sweep
from snekhouse.host.cgroups.v1 import V1
from snekhouse.host.cgroups.v2 import V2
from snekhouse.registry.models import Limits


def host(tmp_path: Path, mounts: str, groups: str) -> Path:
    """A /proc/self whose files say what a host of another kind would; `{root}` stands for its cgroup file systems."""
    proc = tmp_path / "proc"
    proc.mkdir()
    (proc / "mountinfo").write_text(mounts.format(root=tmp_path))
    (proc / "cgroup").write_text(groups)
    return proc


def make(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(parents=True)
        if "memory" in folder.parts:
            (folder / "memory.limit_in_bytes").touch()


V1_MOUNTS = """\
30 25 0:26 / {root}/memory rw,relatime shared:9 - cgroup cgroup rw,memory
31 25 0:27 / {root}/cpu,cpuacct rw,relatime shared:10 - cgroup cgroup rw,cpu,cpuacct
32 25 0:28 / {root}/pids rw,relatime shared:11 - cgroup cgroup rw,pids
33 25 0:29 / {root}/unified rw,relatime shared:12 - cgroup2 cgroup2 rw
34 25 0:30 / /proc rw - proc proc rw
"""


def test_v1_is_found_below_the_servers_own_groups(tmp_path: Path) -> None:
    make(tmp_path / "memory/a/b", tmp_path / "cpu,cpuacct", tmp_path / "pids/x", tmp_path / "unified")
    (tmp_path / "unified/cgroup.controllers").write_text("")
    proc = host(tmp_path, V1_MOUNTS, "4:memory:/a/b\n3:cpu,cpuacct:/\n2:pids:/x\n0::/\n")
    found = detect(proc)
    assert found.version == "v1"
    assert not found.missing
    assert isinstance(found.layout, V1)
    assert found.layout.folders("g") == tuple(
        f"{tmp_path}/{folder}/g" for folder in ("memory/a/b", "pids/x", "cpu,cpuacct")
    )


def test_names_of_other_mounts_may_have_any_byte(tmp_path: Path) -> None:
    make(tmp_path / "memory", tmp_path / "pids", tmp_path / "cpu,cpuacct")
    proc = host(tmp_path, V1_MOUNTS, "4:memory:/\n3:cpu,cpuacct:/\n2:pids:/\n")
    others = (
        b"40 25 0:40 / /mnt/" + name + b" rw - ext4 /dev/sda rw\n" for name in (b"\xfc", "\u2028".encode(), b"\r")
    )
    (proc / "mountinfo").write_bytes(b"".join(others) + (proc / "mountinfo").read_bytes())
    assert detect(proc).version == "v1"
    assert own_undelegated_unit(proc) is None


def test_v1_of_a_container_that_sees_only_its_own_group(tmp_path: Path) -> None:
    make(tmp_path / "memory", tmp_path / "pids", tmp_path / "cpu,cpuacct", tmp_path / "unified")
    (tmp_path / "unified/cgroup.controllers").write_text("")
    mounts = V1_MOUNTS.replace("0:26 / ", "0:26 /docker/1f ").replace("0:28 / ", "0:28 /docker/1f ")
    proc = host(tmp_path, mounts, "4:memory:/docker/1f\n3:cpu,cpuacct:/\n2:pids:/docker/1f\n0::/\n")
    layout = detect(proc).layout
    assert isinstance(layout, V1)
    assert layout.bases["memory"] == tmp_path / "memory"
    assert layout.bases["pids"] == tmp_path / "pids"


def test_a_v1_controller_that_is_not_there_is_missing_with_a_remedy(tmp_path: Path) -> None:
    make(tmp_path / "memory", tmp_path / "cpu,cpuacct", tmp_path / "unified")
    (tmp_path / "unified/cgroup.controllers").write_text("")
    mounts = "".join(line for line in V1_MOUNTS.splitlines(keepends=True) if "pids" not in line)
    found = detect(host(tmp_path, mounts, "4:memory:/\n3:cpu,cpuacct:/\n0::/\n"))
    assert found.missing == {"pids"}
    assert "delegate" in found.reason


def test_memory_is_not_limited_by_v1_where_the_kernel_has_it_in_v2_alone(tmp_path: Path) -> None:
    """Without CONFIG_MEMCG_V1 the hierarchy can be mounted, and its groups have no limits."""
    make(tmp_path / "memory", tmp_path / "cpu,cpuacct", tmp_path / "pids", tmp_path / "unified")
    (tmp_path / "memory" / "memory.limit_in_bytes").unlink()
    (tmp_path / "unified/cgroup.controllers").write_text("")
    found = detect(host(tmp_path, V1_MOUNTS, "4:memory:/\n3:cpu,cpuacct:/\n2:pids:/\n0::/\n"))
    assert found.missing == {"memory"}
    assert "CONFIG_MEMCG_V1" in found.reason


def test_memory_that_no_hierarchy_of_v1_has_is_told_with_the_kernels_setting(tmp_path: Path) -> None:
    """Debian 13 without CONFIG_MEMCG_V1: systemd mounts no hierarchy for memory, and no process is in one."""
    make(tmp_path / "cpu,cpuacct", tmp_path / "pids", tmp_path / "unified")
    (tmp_path / "unified/cgroup.controllers").write_text("")
    mounts = "".join(line for line in V1_MOUNTS.splitlines(keepends=True) if "memory" not in line)
    found = detect(host(tmp_path, mounts, "3:cpu,cpuacct:/\n2:pids:/\n0::/\n"))
    assert found.missing == {"memory"}
    assert "CONFIG_MEMCG_V1" in found.reason


V2_MOUNTS = "30 25 0:26 / {root}/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"


def test_v2_is_found_in_the_servers_own_group_and_its_processes_make_room(tmp_path: Path) -> None:
    own = tmp_path / "cgroup/service"
    make(own)
    for name, text in {
        "cgroup.controllers": "cpu memory pids io\n", "cgroup.subtree_control": "", "cgroup.type": "domain\n",
        "cgroup.procs": "17\n18\n",
    }.items():  # fmt: skip
        (own / name).write_text(text)
    make(own / "snekhouse-server")
    found = detect(host(tmp_path, V2_MOUNTS, "0::/service\n"))
    assert found.version == "v2"
    assert found.layout == V2(own, frozenset({"cpu", "memory", "pids"}))
    assert (own / "cgroup.subtree_control").read_text() == ""  # looking changes nothing
    found.layout.claim()
    assert (own / "cgroup.subtree_control").read_text() == "+cpu +memory +pids"
    assert (own / "snekhouse-server/cgroup.procs").read_text() == "18"


def test_v2_with_controllers_enabled_already_moves_nobody(tmp_path: Path) -> None:
    make(tmp_path / "cgroup")
    (tmp_path / "cgroup/cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cgroup/cgroup.subtree_control").write_text("cpu memory pids\n")
    found = detect(host(tmp_path, V2_MOUNTS, "0::/\n"))
    assert isinstance(found.layout, V2)
    found.layout.claim()
    assert not (tmp_path / "cgroup/snekhouse-server").exists()


def test_a_server_started_again_in_its_leaf_goes_back_up(tmp_path: Path) -> None:
    own = tmp_path / "cgroup/service"
    make(own / "snekhouse-server")
    (own / "cgroup.controllers").write_text("cpu memory pids\n")
    (own / "cgroup.subtree_control").write_text("cpu memory pids\n")
    found = detect(host(tmp_path, V2_MOUNTS, "0::/service/snekhouse-server\n"))
    assert found.layout == V2(own, frozenset({"cpu", "memory", "pids"}))


def unit(tmp_path: Path, name: str) -> Path:
    """A host whose server is in a unit of systemd; return its folder in procfs."""
    own = tmp_path / "cgroup/system.slice" / name
    make(own, tmp_path / "booted")
    for folder in (own, tmp_path / "cgroup"):
        (folder / "cgroup.controllers").write_text("cpu memory pids\n")
    (own / "cgroup.subtree_control").write_text("")
    return host(tmp_path, V2_MOUNTS, f"0::/system.slice/{name}\n")


def test_a_unit_that_does_not_delegate_has_no_cgroups_to_give(tmp_path: Path) -> None:
    proc = unit(tmp_path, "web.service")
    found = detect(proc, tmp_path / "booted")
    assert found.missing == {"memory", "pids", "cpu"}
    assert "web.service" in found.reason
    assert "Delegate=yes" in found.reason
    assert own_undelegated_unit(proc, tmp_path / "booted") == tmp_path / "cgroup/system.slice/web.service"


def test_a_unit_that_delegates_is_used(tmp_path: Path) -> None:
    proc = unit(tmp_path, "web.service")
    os.setxattr(tmp_path / "cgroup/system.slice/web.service", "user.delegate", b"1")
    assert detect(proc, tmp_path / "booted").version == "v2"
    assert own_undelegated_unit(proc, tmp_path / "booted") is None


def test_a_scope_that_a_server_made_for_itself_is_used(tmp_path: Path) -> None:
    assert detect(unit(tmp_path, "snekhouse-17.scope"), tmp_path / "booted").version == "v2"


def test_a_service_with_a_name_of_such_a_scope_is_not_taken_for_one(tmp_path: Path) -> None:
    assert detect(unit(tmp_path, "snekhouse-cold.service"), tmp_path / "booted").missing == {"memory", "pids", "cpu"}


def test_units_count_only_where_systemd_runs(tmp_path: Path) -> None:
    assert detect(unit(tmp_path, "web.service"), tmp_path / "nowhere").version == "v2"


def test_without_any_cgroups_everything_is_missing(tmp_path: Path) -> None:
    found = detect(host(tmp_path, "30 25 0:26 / /proc rw - proc proc rw\n", "0::/\n"))
    assert found.layout is None
    assert found.version == "none"
    assert found.missing == {"memory", "pids", "cpu"}
    assert found.reason


def test_v2_limits_and_counters(tmp_path: Path) -> None:
    layout = V2(tmp_path, frozenset({"cpu", "memory", "pids"}))
    make(tmp_path / "g")
    for name in ("memory.max", "memory.swap.max", "pids.max", "cpu.max"):
        (tmp_path / "g" / name).touch()
    layout.limit("g", Limits(memory="64MiB", processes=7, cpus=0.5))  # type: ignore[arg-type]
    written = {path.name: path.read_text() for path in (tmp_path / "g").iterdir()}
    assert written == {
        "memory.max": "67108864", "memory.swap.max": "0", "pids.max": "7", "cpu.max": "50000 100000",
    }  # fmt: skip
    (tmp_path / "g/cpu.stat").write_text("usage_usec 1500000\nuser_usec 1000000\n")
    (tmp_path / "g/memory.events").write_text("low 0\nmax 3\noom 1\noom_kill 1\n")
    (tmp_path / "g/memory.peak").write_text("4096\n")
    (tmp_path / "g/pids.events").write_text("max 2\n")
    assert layout.usage("g") == GroupUsage(memory=4096, cpu_time=1.5, oom_kills=1, refused_forks=2)
    (tmp_path / "g/memory.peak").unlink()
    assert layout.usage("g").memory is None


@pytest.fixture(scope="module")
def layout() -> Layout:
    """The cgroups of this very host, which this suite needs for the tests below."""
    found: Detection = detect()
    assert found.layout is not None, found.reason
    return found.layout


@pytest.fixture
def cgroups(layout: Layout) -> Iterator[Cgroups]:
    with server_group(layout, f"snekhouse-test-{os.getpid()}") as cgroups:
        yield cgroups


@contextmanager
def member(group: RunGroup, program: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that joins a group as a jail does, says so, and waits for a line before it goes on."""
    joining = f"import os, sys\nfor file in {group.task_files}: os.write(file, b'0')\nprint(flush=True)\nsys.stdin.readline()\n"
    command = ["/usr/bin/env", "python3", "-c", joining + program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pass_fds=group.task_files
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        group.add(process.pid)
        try:
            yield process
        finally:
            process.kill()


def test_a_member_is_killed_for_memory_and_the_group_tells(cgroups: Cgroups) -> None:
    limits = Limits(memory="32MiB")  # type: ignore[arg-type]
    with cgroups.run(limits) as group:
        with member(group, "x = b'x' * (64 << 20)") as process:
            process.communicate(b"\n")
            assert process.returncode == -signal.SIGKILL
        usage = group.usage()
    assert usage.oom_kills == 1
    assert usage.memory == 32 << 20


def test_the_buffers_of_sockets_have_a_limit(cgroups: Cgroups) -> None:
    flood = (
        "import socket\nholes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(200)]\n"
        "for hole in holes: hole.bind(('127.0.0.1', 0)); hole.setblocking(False)\n"
        "for hole in holes * 9:\n  try: holes[0].sendto(bytes(60000), hole.getsockname())\n  except OSError: pass\n"
        "kept = 0\nfor hole in holes:\n  try:\n    while True: kept += len(hole.recv(60000))\n  except BlockingIOError: pass\n"
        "sys.exit(not 0 < kept < 17 << 20)"
    )
    with cgroups.run(Limits(memory="64MiB")) as group:  # type: ignore[arg-type]
        group.limit_sockets(16 << 20)
        with member(group, flood) as process:
            process.communicate(b"\n")
            assert process.returncode in {0, -signal.SIGKILL}  # the latter where they count as memory


def test_a_process_above_the_limit_is_refused_and_the_group_tells(cgroups: Cgroups) -> None:
    with cgroups.run(Limits(processes=1)) as group:
        with member(group, "os.fork()") as process:
            process.communicate(b"\n")
            assert process.returncode == 1
        assert group.usage().refused_forks == 1


def test_a_member_that_stays_below_is_measured(cgroups: Cgroups) -> None:
    with cgroups.run(Limits()) as group:
        with member(group, "x = b'x' * (24 << 20)\nwhile sum(os.times()[:2]) < 0.2: pass") as process:
            process.communicate(b"\n")
            assert process.returncode == 0
        usage = group.usage()
    assert usage.oom_kills == 0
    assert usage.memory is not None
    assert 24 << 20 <= usage.memory < 60 << 20
    assert usage.cpu_time is not None
    assert 0.05 < usage.cpu_time < 5


def test_a_member_cannot_start_more_processes_than_allowed(cgroups: Cgroups) -> None:
    with cgroups.run(Limits(processes=3)) as group, member(group, FORKS) as process:
        assert process.communicate(b"\n")[0] == b"2\n"


FORKS = """
n = 0
try:
    while os.fork(): n += 1
    sys.stdin.readline()
except OSError:
    print(n)
"""


def test_groups_are_gone_when_their_runs_are(layout: Layout, cgroups: Cgroups) -> None:
    with cgroups.run(Limits()):
        pass
    name = f"snekhouse-test-{os.getpid()}"
    assert [path for folder in layout.folders(name) for path in Path(folder).iterdir() if path.is_dir()] == []


def test_a_sweep_kills_what_a_dead_server_left_and_removes_its_groups(layout: Layout) -> None:
    name = f"snekhouse-dead-{os.getpid()}"
    dead = server_group(layout, name)
    run = dead.__enter__().run(Limits())
    with member(run.__enter__(), "sys.stdin.readline()") as process:
        sweep(layout.folders(name))
        assert process.wait(5) == -signal.SIGKILL
    assert not any(Path(folder).exists() for folder in layout.folders(name))
    run.__exit__(None, None, None)
    dead.__exit__(None, None, None)

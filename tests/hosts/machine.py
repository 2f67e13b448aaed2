"""A machine of its own for a job: QEMU with Debian 13, by KVM where that works, else emulated."""

import functools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from hosts.disk import CACHE, ROOT, disk, install

_KVM_PROBE_S = 60
_CPUS, _MEMORY = "2", "4G"
_RESULTS_SIZE = 1 << 30
_TREES = (
    "Dockerfile",
    "deploy",
    "docker-compose.yml",
    "pyproject.toml",
    "platform",
    "runtimes",
    "runtimes.toml",
    "templates",
    "tests",
)
"""What of the project the tests in the machine need beside the installed package."""
_PACKAGE = ROOT / "platform" / "snekhouse"
"""What is left out of them: the installed package is tested, and not what it was built from."""

_START = "import asyncio, json, subprocess"
"""What a start of an interpreter is measured with."""


@dataclass(frozen=True)
class Job:
    """What a machine does between its start and its end.

    Attributes:
        command: A line for the shell, in the project's folder, as root and under systemd.
        kernel: Arguments for the kernel.
        timeout_s: Seconds after which the machine is turned off.
    """

    command: str
    kernel: str = ""
    timeout_s: int = 6 * 3600


def run(job: Job, out: Path) -> None:
    """Boot a copy of the disk and do a job.

    What the job leaves in ``/job/results`` comes to `out`, beside ``console`` and ``log``, its output as it comes.

    Raises:
        UnavailableError: This machine has no QEMU, or cannot make the disk.
    """
    made = disk()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="snekhouse-hosts-", dir="/var/tmp") as name:
        folder = Path(name)
        _pack(job, folder)
        results = folder / "results.tar"
        with results.open("wb") as file:
            file.truncate(_RESULTS_SIZE)
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", made / "disk.img", "-F", "raw", folder / "disk.qcow2"],
            check=True,
        )
        drives = [f"file={folder}/disk.qcow2", f"file={folder}/job.tar,format=raw", f"file={results},format=raw"]
        kernel = f"root=/dev/vda ro console=ttyS0 quiet panic=-1 {job.kernel}".strip()
        command = [*_qemu(kvm=_has_kvm()), "-smp", _CPUS, "-m", _MEMORY, "-initrd", str(made / "initrd")]
        command += ["-append", kernel, "-serial", f"file:{out}/console", "-serial", f"file:{out}/log"]
        command += [word for drive in drives for word in ("-drive", f"{drive},if=virtio")]
        subprocess.run(command, stdin=subprocess.DEVNULL, timeout=job.timeout_s, check=True)
        subprocess.run(["tar", "-C", out, "-xf", results], check=True)


def start_seconds() -> float:
    """Measure how long this machine takes to start an interpreter that imports a little: the median of a few."""
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-I", "-c", _START], check=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def _pack(job: Job, folder: Path) -> None:
    """Make the archive that the machine unpacks as ``/job``."""
    root = folder / "job"
    (root / "results").mkdir(parents=True)
    (root / "snekhouse").mkdir()
    for name in _TREES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, root / "snekhouse" / name, ignore=_left_out)
        else:
            shutil.copy(source, root / "snekhouse" / name)
    wheels = folder / "wheels"
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(wheels), str(ROOT)]
    subprocess.run(wheel, check=True, capture_output=True)
    install(["--no-deps", *wheels.glob("*.whl")], root / "site")
    script = root / "run"
    script.write_text(
        "#!/bin/sh\n"
        "cp -r /job/site/. /opt/snekhouse/lib/python3*/site-packages/\n"
        "python3 -m compileall -q /opt/snekhouse/lib/python3*/site-packages/snekhouse\n"
        f"export SNEKHOUSE_TEST_START_S={start_seconds():.4f}\n"
        f"cd /job/snekhouse && {job.command}\n"
        'echo "exit $?"\n'
    )
    script.chmod(0o755)
    subprocess.run(["tar", "-C", root, "-cf", folder / "job.tar", "."], check=True)


def _left_out(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name == "__pycache__" or Path(folder, name) == _PACKAGE]


def _qemu(*, kvm: bool) -> list[str]:
    accelerator = ["-accel", "kvm", "-cpu", "host"] if kvm else ["-accel", "tcg,thread=multi,tb-size=1024"]
    cpu = [] if kvm else ["-cpu", "max,la57=off"]  # five levels of page tables are slow to emulate
    common = ["-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"]
    return ["qemu-system-x86_64", *accelerator, *cpu, *common, "-kernel", str(CACHE / "vmlinuz")]


@functools.cache
def _has_kvm() -> bool:
    """Try it: the device may be there, and yet not run a kernel (as in a virtual machine inside another).

    A kernel without a disk panics, restarts at once, and so ends QEMU.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = [*_qemu(kvm=True), "-m", "512", "-append", "panic=-1"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_KVM_PROBE_S, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0

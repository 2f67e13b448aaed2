"""The disk of the machine that the tests of hosts boot: Debian 13 as it is, and what snekhouse needs beside itself."""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
CACHE = Path("~/.cache/snekhouse-tests/hosts").expanduser()
SUITE = "trixie"
PYTHON = "3.13"
"""That of the suite."""

_TOOLS = {
    "debootstrap": "debootstrap",
    "mkfs.ext4": "e2fsprogs",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
}
"""What is needed here, and Debian's package of it."""

_PACKAGES = (
    *("systemd", "systemd-sysv", "udev", "dbus", "dbus-user-session", "libpam-systemd"),
    *("linux-image-cloud-amd64", "initramfs-tools", "kmod", "apparmor", "iproute2", "procps"),
    *("python3", "python3-venv"),
    *("docker.io", "docker-cli", "docker-compose", "iptables"),
    *("podman", "crun", "uidmap", "passt", "netavark", "aardvark-dns"),
)
_BASE_PACKAGES = ("python3", "ca-certificates", "tzdata")
"""What the image of the project installs from Debian, as far as it matters for walls."""

_NEWER_SUITE = "forky"
_NEWER_PACKAGES = ("docker.io", "docker-cli", "containerd", "runc", "tini-static")
"""Docker 28 or later, of the next Debian: unpacked beside the suite's own, whose libraries its programs use."""

_TEST_REQUIREMENTS = ("httpx", "hypothesis", "pytest", "pytest-timeout")
_SIZE = "16G"
_GLIBC = range(17, 42)
"""Minor versions of glibc 2 whose wheels run there."""

_JOB = """[Unit]
Description=What the tests of hosts have to do
After=multi-user.target

[Service]
Type=oneshot
Environment=HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ExecStart=/bin/sh -c 'mkdir -p /job/results; tar -C /job -xf /dev/vdb; cd /job; ./run >/dev/ttyS1 2>&1; tar -C /job/results -cf /dev/vdc .; sync'
ExecStopPost=/usr/bin/systemctl poweroff --force

[Install]
WantedBy=multi-user.target
"""

_SNEKHOUSE = """#!/opt/snekhouse/bin/python
from snekhouse.cli import main

main()
"""


class UnavailableError(Exception):
    """This machine cannot make or boot such a disk; the text says what to install."""


def disk() -> Path:
    """Find the folder with the disk, its kernel and its initial file system; make them where they are not, or are old.

    Raises:
        UnavailableError: Something is missing here.
    """
    if missing := sorted(package for tool, package in _TOOLS.items() if not shutil.which(tool)):
        raise UnavailableError(f"on Debian: apt install {' '.join(missing)}")
    stamp = CACHE / "made"
    recipe = _recipe()
    if not stamp.exists() or stamp.read_text() != recipe:
        if os.geteuid():
            raise UnavailableError("making the disk needs root, as debootstrap does")
        stamp.unlink(missing_ok=True)
        _make()
        stamp.write_text(recipe)
    return CACHE


def install(requirements: Iterable[str | Path], folder: Path) -> None:
    """Install packages for the Python of that machine into a folder."""
    target = ["--target", str(folder), "--python-version", PYTHON, "--only-binary=:all:"]
    target += [f"--platform=manylinux_2_{minor}_x86_64" for minor in _GLIBC]
    _run(sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", *target, *requirements)


def dependencies() -> list[str]:
    """Read what snekhouse depends on, and its tests that run there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *_TEST_REQUIREMENTS]


def _recipe() -> str:
    return hashlib.sha256(Path(__file__).read_bytes() + repr(dependencies()).encode()).hexdigest()


def _make() -> None:
    root, base = CACHE / "root", CACHE / "base"
    for folder in (root, base):
        shutil.rmtree(folder, ignore_errors=True)
    (CACHE / "packages").mkdir(parents=True, exist_ok=True)
    try:
        _bootstrap(root, _PACKAGES)
        _unpack_newer(root)
        _bootstrap(base, _BASE_PACKAGES)
        _run("tar", "-C", base, "-cf", root / "opt" / "base.tar", ".")
        _run("chroot", root, "python3", "-m", "venv", "--without-pip", "/opt/snekhouse")
        install(dependencies(), root / "opt" / "snekhouse" / "lib" / f"python{PYTHON}" / "site-packages")
        _run("chroot", root, "python3", "-m", "compileall", "-q", "/opt/snekhouse/lib")
        _configure(root)
        shutil.copy(next((root / "boot").glob("vmlinuz-*")), CACHE / "vmlinuz")
        shutil.copy(next((root / "boot").glob("initrd.img-*")), CACHE / "initrd")
        _run("mkfs.ext4", "-q", "-F", "-d", root, CACHE / "disk.new", _SIZE)
        (CACHE / "disk.new").replace(CACHE / "disk.img")
    finally:
        for folder in (root, base):
            shutil.rmtree(folder, ignore_errors=True)


def _bootstrap(folder: Path, packages: Iterable[str]) -> None:
    cache = f"--cache-dir={CACHE / 'packages'}"
    _run("debootstrap", "--variant=minbase", cache, f"--include={','.join(packages)}", SUITE, folder)
    _run("chroot", folder, "apt-get", "clean")  # an image made of it takes minutes to import where it is emulated


def _unpack_newer(root: Path) -> None:
    """Unpack packages of the next Debian into ``/opt/newer``."""
    sources = root / "etc" / "apt" / "sources.list"
    own = sources.read_text()
    sources.write_text(own.replace(SUITE, _NEWER_SUITE))
    folder = root / "var" / "tmp" / "newer"
    folder.mkdir()
    in_folder: list[str | Path] = ["chroot", root, "env", "--chdir=/var/tmp/newer"]
    _run(*in_folder, "apt-get", "--quiet", "--option=Acquire::Check-Valid-Until=false", "update")  # mirrors may be old
    _run(*in_folder, "apt-get", "--quiet", "download", *_NEWER_PACKAGES)
    for package in folder.iterdir():
        _run("dpkg-deb", "--extract", package, root / "opt" / "newer")
    shutil.rmtree(folder)
    shutil.rmtree(root / "var" / "lib" / "apt" / "lists")
    sources.write_text(own)


def _configure(root: Path) -> None:
    etc = root / "etc"
    (etc / "fstab").write_text("/dev/vda / ext4 defaults 0 1\n")
    (etc / "hostname").write_text("host\n")
    (etc / "hosts").write_text("127.0.0.1 localhost host\n")
    (etc / "systemd" / "system" / "job.service").write_text(_JOB)
    wants = etc / "systemd" / "system" / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "job.service").symlink_to("../job.service")
    _run("chroot", root, "systemctl", "--quiet", "disable", "containerd", "docker.service", "docker.socket")
    command = root / "opt" / "snekhouse" / "bin" / "snekhouse"
    command.write_text(_SNEKHOUSE)
    command.chmod(0o755)
    _run("chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", "tester")


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{(done.stdout + done.stderr)[-4000:]}"

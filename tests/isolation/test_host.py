"""The host: its files, devices, processes, users and settings."""

import os
from pathlib import Path

import pytest

from isolation.attacks import Prison, table

SECRETS = (
    "/root/.ssh", "/root/.bashrc", "/etc/shadow", "/etc/hostname", "/etc/ssh", "/proc/1/environ", "/proc/self/mem", "/proc/kcore",
    "/proc/sys/kernel", "/sys/kernel", "/sys/fs/cgroup", "/run/docker.sock", "/var/run/docker.sock", "/var/log", "/tmp",
    "/boot", "/dev/mem", "/dev/kmsg", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/tty", "/dev/ptmx", "/dev/pts",
    "/dev/loop0", "/dev/sda", "/dev/vda", "/dev/vsock", "/dev/userfaultfd", "/dev/stdin", "/dev/fd", "/home/..data",
)  # fmt: skip


@pytest.mark.parametrize("path", SECRETS)
def test_a_place_of_the_host_is_not_there(prison: Prison, path: str) -> None:
    prison.attack(f"attempt(lambda: os.stat({path!r}), errno.ENOENT)")


def test_a_program_finds_out_who_it_is_and_nobody_else(prison: Prison) -> None:
    program = (
        "import getpass, grp, os, pwd, tarfile\n"
        "names = {each.pw_name for each in pwd.getpwall()} | {each.gr_name for each in grp.getgrall()}\n"
        "print(getpass.getuser(), grp.getgrgid(os.getgid()).gr_name, names, pwd.getpwuid(os.getuid()).pw_dir)\n"
        "print(os.path.expanduser('~nobody'), os.path.expanduser('~x'))"
    )
    assert prison.run(program)["stdout"] == "nobody nobody {'nobody'} /home\n/home ~x\n"
    prison.attack("attempt(lambda: open('/etc/passwd', 'a'), errno.EROFS, errno.EACCES)")


def test_every_file_in_the_jail_is_of_its_runtime(prison: Prison) -> None:
    """Nothing is in the jail that the registry does not mount, but for our bootstrap, devices and the home."""
    program = "import os\nfor name in sorted(os.listdir('/')): print(name)"
    allowed = {"dev", "etc", "home", "lib", "lib64", "root", "snekbin", "snekbox", "snekhouse", "usr", "opt", "bin"}
    assert set(prison.run(program)["stdout"].split()) <= allowed
    assert prison.run("import os; print(sorted(os.listdir('/dev')))")["stdout"] == (
        "['null', 'random', 'shm', 'urandom', 'zero']\n"
    )


def test_the_servers_own_files_are_not_there(prison: Prison) -> None:
    here = str(Path(__file__).resolve().parents[2])
    prison.attack(f"attempt(lambda: os.listdir({here!r}), errno.ENOENT)")


@table(
    {
        "the root": "attempt(lambda: os.mkdir('/new'), errno.EROFS)",
        "the bootstrap": "import glob\nattempt(lambda: open(glob.glob('/snekhouse/*')[0], 'ab'), errno.EROFS, errno.EACCES)",
        "beside the bootstrap": "attempt(lambda: open('/snekhouse/new', 'w'), errno.EROFS, errno.EACCES)",
        "the standard library": "attempt(lambda: open(os.__file__, 'ab'), errno.EROFS, errno.EACCES)",
        "the interpreter": "attempt(lambda: open(sys.executable, 'ab'), errno.EROFS, errno.EACCES, errno.ETXTBSY)",
        "the packages": "attempt(lambda: open('/snekbox/user_base/new', 'w'), errno.EROFS, errno.EACCES, errno.ENOENT)",
        "devices": "attempt(lambda: open('/dev/new', 'w'), errno.EROFS, errno.EACCES)",
        "a time in the library": "attempt(lambda: os.utime(os.__file__), errno.EROFS, errno.EPERM, errno.EACCES)",
        "a mode in the library": "attempt(lambda: os.chmod(os.__file__, 0o777), errno.EROFS, errno.EPERM)",
        "a link in the library": "attempt(lambda: os.link(os.__file__, '/home/os.py'), errno.EXDEV, errno.EPERM)",
        "an attribute": "attempt(lambda: os.setxattr(os.__file__, 'user.x', b''), errno.EROFS, errno.EPERM, errno.EACCES)",
        "a time of a device": "attempt(lambda: os.utime('/dev/null'), errno.EROFS)",
        "a time of an open device": "attempt(lambda: os.utime(os.open('/dev/null', os.O_RDWR)), errno.EROFS)",
        "a mode of a device": "attempt(lambda: os.chmod('/dev/zero', 0o600), errno.EROFS)",
        "an attribute of a device": "attempt(lambda: os.setxattr('/dev/null', 'user.x', b''), errno.EROFS)",
        "random numbers": "attempt(lambda: open('/dev/urandom', 'wb').write(b'x') and None or os.chmod('/dev/urandom', 0))",
    }
)
def test_nothing_of_the_host_is_written(prison: Prison, program: str) -> None:
    prison.attack(program)


def test_devices_are_read_and_written_and_their_nodes_stay_as_they_are(prison: Prison) -> None:
    nodes = [Path("/dev", name) for name in ("null", "zero", "random", "urandom")]
    before = list(map(_kept, nodes))
    program = (
        "import contextlib, os\nfor name in ('null', 'zero', 'random', 'urandom'):\n"
        "  with open('/dev/' + name, 'r+b', 0) as device: print(device.write(b'x'), len(device.read(1)))\n"
        "  for change in (os.utime, lambda path: os.chmod(path, 0), lambda path: os.truncate(path, 0)):\n"
        "    with contextlib.suppress(OSError): change('/dev/' + name)"
    )
    assert prison.run(program)["stdout"] == "1 0\n" + "1 1\n" * 3
    assert list(map(_kept, nodes)) == before


def _kept(node: Path) -> tuple[int, ...]:
    status = node.stat()
    return status.st_mode, status.st_uid, status.st_mtime_ns, status.st_ctime_ns


@table(
    {
        "a disk": "attempt(lambda: os.mknod('x', 0o60600, os.makedev(8, 0)), errno.EPERM)",
        "memory": "attempt(lambda: os.mknod('x', 0o20600, os.makedev(1, 1)), errno.EPERM)",
        "the kernel's log": "attempt(lambda: os.mknod('/dev/shm/x', 0o20600, os.makedev(1, 11)), errno.EPERM)",
        "a whiteout": "attempt(lambda: os.mknod('x', 0o20600, 0) or open('x', 'rb'), errno.EPERM, errno.EACCES)",
    }
)
def test_no_device_can_be_made(prison: Prison, program: str) -> None:
    prison.attack(program)


@table(
    {
        "root": "attempt(lambda: os.setuid(0), errno.EPERM, errno.EINVAL)",
        "all of root": "attempt(lambda: os.setresuid(0, 0, 0), errno.EPERM, errno.EINVAL)",
        "root's group": "attempt(lambda: os.setgid(0), errno.EPERM, errno.EINVAL)",
        "more groups": "attempt(lambda: os.setgroups([0]), errno.EPERM, errno.EINVAL)",
        "root for files": (
            "import platform\nnumber = 122 if platform.machine() == 'x86_64' else 151\ncall(number, 0)\n"
            "print('open' if call(number, -1) == 0 else 'shut', 'setfsuid')"
        ),
        "root's files": "open('x', 'w').close()\nattempt(lambda: os.chown('x', 0, 0), errno.EPERM, errno.EINVAL)",
        "a file that makes root": (
            "import shutil, subprocess\nshutil.copy(sys.executable, 'python')\n"
            "try: os.chmod('python', 0o4755)\nexcept PermissionError: pass  # systemd may refuse it (RestrictSUIDSGID)\n"
            "print('shut' if str(os.getuid()).encode() in subprocess.run(['./python', '-c', 'import os; print(os.geteuid())'],\n"
            "  stdout=-1, env=dict(os.environ, PYTHONHOME=sys.base_prefix)).stdout else 'open', 'set-uid')"
        ),
        "a higher priority": "attempt(lambda: os.nice(-1), errno.EPERM, errno.EACCES)",
        "a priority in real time": "attempt(lambda: os.sched_setscheduler(0, 1, os.sched_param(1)), errno.EPERM)",
        "higher limits": "import resource\nattempt(lambda: resource.setrlimit(7, (9999, 9999)))",
        "less chance to be killed": "attempt(lambda: open('/proc/self/oom_score_adj', 'w'), errno.ENOENT)",
    }
)
def test_nobody_is_somebody_else(prison: Prison, program: str) -> None:
    prison.attack(program)


def test_no_capability_is_left(prison: Prison) -> None:
    number = {"x86_64": 125}.get(os.uname().machine, 90)  # capget
    program = (
        f"head, data = (ctypes.c_uint * 2)(0x20080522, 0), (ctypes.c_uint * 6)()\ncall({number}, head, data)\n"
        "bounding = [cap for cap in range(41) if call(157 if os.uname().machine == 'x86_64' else 167, 23, cap, 0, 0, 0)]\n"
        "new_privileges = call(157 if os.uname().machine == 'x86_64' else 167, 39, 0, 0, 0, 0)\n"
        "print('shut' if not any(data) and new_privileges == 1 else 'open', list(data), bounding, new_privileges)"
    )
    prison.attack(program)


@table(
    {
        "the folder above its input": "attempt(lambda: os.open('..', 0, dir_fd=0), errno.ENOTDIR)",
        "its input, changed": "attempt(lambda: os.write(0, b'x'), errno.EPERM, errno.EBADF)",
        "its input, longer": "attempt(lambda: os.ftruncate(0, 1 << 20), errno.EPERM, errno.EINVAL)",
        "above its home": "os.chdir('/home')\nos.chdir('..')\nprint('shut' if 'etc' not in os.listdir('.') or "
        "'shadow' not in os.listdir('etc') else 'open', os.listdir('.'))",
        "above the root": "print('shut' if os.stat('/..').st_ino == os.stat('/').st_ino else 'open', 'root')",
        "the old root": "attempt(lambda: os.listdir('/.old_root'), errno.ENOENT)",
        "the name of the host": f"print('open' if os.uname().nodename == {os.uname().nodename!r} else 'shut', 'name')",
        "the environment of the server": "print('open' if 'PATH' in os.environ else 'shut', 'environment')",
        "processes of others": "attempt(lambda: [os.kill(pid, 0) for pid in range(2, 40000)], errno.ESRCH)",
        "its own memory by name": "attempt(lambda: open('/proc/self/mem', 'r+b'), errno.ENOENT)",
        "a core dump": "import resource\nprint('shut' if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0) else 'open', 0)",
        "locked memory": "import mmap\nattempt(lambda: call(149 if os.uname().machine == 'x86_64' else 228, "
        "ctypes.addressof(ctypes.create_string_buffer(1 << 20)), 1 << 20), errno.ENOMEM, errno.EPERM, errno.EAGAIN)",
    }
)
def test_nothing_of_the_host_is_in_reach(prison: Prison, program: str) -> None:
    prison.attack(program)


@table(
    {
        "descriptors of the server": (
            "found = []\nfor fd in range(3, 1024):\n  try: found.append((fd, os.fstat(fd)))\n  except OSError: pass\n"
            "print('open' if found else 'shut', found)"
        ),
        "its parent": "print('open' if os.getppid() else 'shut', os.getppid())",
        "all processes": "attempt(lambda: os.kill(-1, 9), errno.ESRCH)",
    }
)
def test_an_evaluation_is_alone(evaluations: Prison, program: str) -> None:
    """A cell has descriptor 3, and the other states of its session are in its jail."""
    evaluations.attack(program)

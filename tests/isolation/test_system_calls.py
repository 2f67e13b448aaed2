"""System calls that the seccomp policy refuses: called directly, with arguments that an open kernel answers otherwise.

Where the kernel itself says EPERM to those without capabilities, an attack cannot tell the two walls apart.
"""

import platform

import pytest
from system_calls import syscalls

from isolation.attacks import Prison

NUMBERS = syscalls()

NAMESPACES = {
    "mount": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}

REFUSED = {
    "unshare": "0",
    "setns": "-1, 0",
    "mount": "b'none', b'/home', b'tmpfs', 0, 0",
    "umount2": "b'/home', 2",
    "pivot_root": "b'/home', b'/home'",
    "chroot": "b'/home'",
    "open_tree": "-100, b'/home', 0",
    "move_mount": "-1, b'', -1, b'', 0",
    "mount_setattr": "-1, b'', 0, 0, 0",
    "fsopen": "b'tmpfs', 0",
    "fsconfig": "-1, 0, 0, 0, 0",
    "fsmount": "-1, 0, 0",
    "fspick": "-100, b'/home', 0",
    "statmount": "0, 0, 0, 0",
    "listmount": "0, 0, 0, 0",
    "name_to_handle_at": "-100, b'/home', 0, 0, 0",
    "open_by_handle_at": "-1, 0, 0",
    "ptrace": "0, 0, 0, 0",  # PTRACE_TRACEME
    "process_vm_readv": "1, 0, 0, 0, 0, 0",
    "process_vm_writev": "1, 0, 0, 0, 0, 0",
    "process_madvise": "-1, 0, 0, 0, 0",
    "process_mrelease": "-1, 0",
    "pidfd_getfd": "-1, 0, 0",
    "kcmp": "1, 1, 0, 0, 0",
    "bpf": "0, 0, 0",
    "seccomp": "0, 0, 0",
    "perf_event_open": "0, 0, -1, -1, 0",
    "userfaultfd": "1",
    "io_uring_setup": "1, 0",
    "io_uring_enter": "-1, 0, 0, 0, 0, 0",
    "io_uring_register": "-1, 0, 0, 0",
    "io_setup": "1, 0",
    "io_submit": "0, 0, 0",
    "io_destroy": "0",
    "io_cancel": "0, 0, 0",
    "io_getevents": "0, 0, 0, 0, 0",
    "io_pgetevents": "0, 0, 0, 0, 0, 0",
    "add_key": "b'user', b'x', b'y', 1, -3",
    "request_key": "b'user', b'x', 0, -3",
    "keyctl": "0, -3, 0, 0, 0",
    "kexec_load": "0, 0, 0, 0",
    "kexec_file_load": "-1, -1, 0, b'', 0",
    "init_module": "0, 0, b''",
    "finit_module": "-1, b'', 0",
    "delete_module": "b'none', 0",
    "reboot": "0, 0, 0, 0",
    "swapon": "b'/home/x', 0",
    "swapoff": "b'/home/x'",
    "syslog": "3, 0, 0",
    "acct": "b'/home/x'",
    "sethostname": "b'x', 1",
    "setdomainname": "b'x', 1",
    "quotactl": "0, 0, 0, 0",
    "quotactl_fd": "-1, 0, 0, 0",
    "vhangup": "",
    "fanotify_init": "0, 0",
    "fanotify_mark": "-1, 0, 0, 0, 0",
    "settimeofday": "0, 0",
    "clock_settime": "0, 0",
    "adjtimex": "0",
    "clock_adjtime": "0, 0",
    "capset": "0, 0",
    "personality": "0x40000",  # ADDR_NO_RANDOMIZE
    "clone3": "0, 0",
    "memfd_secret": "0",
    "mbind": "0, 0, 0, 0, 0, 0",
    "set_mempolicy": "0, 0, 0",
    "get_mempolicy": "0, 0, 0, 0, 0",
    "move_pages": "0, 0, 0, 0, 0, 0",
    "migrate_pages": "0, 0, 0, 0",
    "remap_file_pages": "0, 0, 0, 0, 0",
    "shmget": "0, 4096, 0o1600",
    "shmat": "0, 0, 0",
    "shmctl": "0, 0, 0",
    "semget": "0, 1, 0o1600",
    "semop": "0, 0, 0",
    "msgget": "0, 0o1600",
    "msgsnd": "0, 0, 0, 0",
    "mq_open": "b'x', 0o102, 0o600, 0",
    "mq_unlink": "b'x'",
    "landlock_create_ruleset": "0, 0, 1",
    "lsm_list_modules": "0, 0, 0",
    "file_setattr": "-1, b'', 0, 0, 0",
    "inotify_init": "",
    "inotify_init1": "0",
    "inotify_add_watch": "-1, b'/home', 1",
    "inotify_rm_watch": "-1, 0",
}

OF_X86 = {"ioperm": "0, 1, 0", "iopl": "0", "modify_ldt": "0, 0, 0", "lookup_dcookie": "0, 0, 0", "uselib": "b'/x'"}


def known(calls: dict[str, str]) -> dict[str, str]:
    """Leave out what this machine never had."""
    machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {name: arguments for name, arguments in calls.items() if name in NUMBERS.load_arch_table(machine)}


@pytest.mark.parametrize(("name", "arguments"), known(REFUSED | OF_X86).items(), ids=lambda value: value.split(",")[0])
def test_a_refused_system_call_is_not_there(prison: Prison, name: str, arguments: str) -> None:
    prison.attack(f"attempt(lambda: call({NUMBERS.get(name)}, {arguments}), errno.EPERM, errno.ENOSYS)")


@pytest.mark.parametrize("flag", NAMESPACES.values(), ids=NAMESPACES.keys())
def test_no_namespace_can_be_had(prison: Prison, flag: int) -> None:
    prison.attack(f"attempt(lambda: call({NUMBERS.get('unshare')}, {flag}), errno.EPERM)")
    prison.attack(f"attempt(lambda: call({NUMBERS.get('clone')}, {flag} | 17, 0, 0, 0, 0) or os._exit(0), errno.EPERM)")


OPTIONS = {
    "PR_SET_SECCOMP": "22, 2, 0",
    "PR_SET_MM": "35, 1, 4096",
    "PR_SCHED_CORE": "62, 0, 0",
    "PR_SET_PDEATHSIG, none": "1, 0, 0",
    "PR_SET_PDEATHSIG, one that is ignored": "1, 15, 0",
}


@pytest.mark.parametrize("option", OPTIONS.values(), ids=OPTIONS.keys())
def test_an_option_of_prctl_is_refused(prison: Prison, option: str) -> None:
    prison.attack(f"attempt(lambda: call({NUMBERS.get('prctl')}, {option}, 0, 0), errno.EPERM)")


REQUESTS = {
    "TIOCSTI": "0, 0x5412",
    "TIOCSTI, with high bits": "0, 0x100005412",
    "TIOCLINUX": "0, 0x541C",
    "TIOCSETD": "0, 0x5423",
    "FIBMAP": "library, 1",
    "FIGETBSZ": "library, 2",
    "FIEMAP": "library, 0xC020660B",
    "FICLONE": "library, 0x40049409",
    "FS_IOC_GETFLAGS": "library, 0x80086601",
    "FS_IOC_GETVERSION": "library, 0x80087601",
    "FS_IOC_FSGETXATTR": "library, 0x801C581F",
    "FS_IOC_GETFSLABEL": "library, 0x81009431",
    "FS_IOC_GETFSUUID": "library, 0x80111500",
    "FS_IOC_GETFSSYSFSPATH": "library, 0x80811501",
    "BLKGETSIZE64": "library, 0x80081272",
    "RNDGETENTCNT": "os.open('/dev/random', 0), 0x80045200",
    "PIDFD_GET_NET_NAMESPACE": "os.pidfd_open(os.getpid()), 0xFF05",
    "PIDFD_GET_USER_NAMESPACE": "os.pidfd_open(os.getpid()), 0xFF0A",
    "PIDFD_GET_INFO": "os.pidfd_open(os.getpid()), 0xC040FF0B",
    "SIOCETHTOOL": "socket.socket().detach(), 0x8946",
    "SIOCGSTAMP": "socket.socket().detach(), 0x8906",
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS.keys())
def test_a_request_to_a_device_does_not_exist(prison: Prison, request_: str) -> None:
    """Nor does one to a file system that tells of the host's disk."""
    program = f"library = os.open(os.__file__, 0)\nattempt(lambda: call({NUMBERS.get('ioctl')}, {request_}, bytes(256)), errno.ENOTTY)"
    prison.attack(program)


COMMANDS = {
    "F_SETLEASE": "os.open('x', os.O_RDWR | os.O_CREAT), 1024, 1",
    "F_GETLEASE": "library, 1025, 0",
    "F_NOTIFY": "os.open(os.path.dirname(os.__file__), 0), 1026, 0x80000002",
    "F_GET_RW_HINT": "library, 1035, bytes(8)",
    "F_SET_RW_HINT": "library, 1036, bytes(8)",
    "F_GET_FILE_RW_HINT": "library, 1037, bytes(8)",
    "F_SET_FILE_RW_HINT": "library, 1038, bytes(8)",
    "one that is yet to be invented": "library, 1099, 0",
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
def test_a_command_for_files_that_jails_share_does_not_exist(prison: Prison, command: str) -> None:
    program = (
        f"library = os.open(os.__file__, 0)\nattempt(lambda: call({NUMBERS.get('fcntl')}, {command}), errno.EINVAL)"
    )
    prison.attack(program)


def test_what_is_yet_to_be_invented_is_not_there(prison: Prison) -> None:
    prison.attack("for number in range(470, 600): attempt(lambda: call(number, 0, 0, 0, 0, 0, 0), errno.ENOSYS)")


def test_the_x32_entry_has_nothing(prison: Prison) -> None:
    prison.attack(
        "for n in (0, 39, 57, 101, 165, 272): attempt(lambda: call(n | 0x40000000, 0, 0, 0, 0), errno.ENOSYS)"
    )


@pytest.mark.skipif(platform.machine() != "x86_64", reason="no other machine has an entry of i386")
def test_the_i386_entry_ends_the_program(prison: Prison) -> None:
    program = """import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex('b814000000cd80c3'))  # getpid, by the numbers of i386
print('entered', ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))())"""
    answer = prison.run(program)
    assert (answer["status"], answer["signal"], answer["stdout"]) == ("signaled", "SIGSYS", "")


DISK = {
    "sync": "",
    "syncfs": "pipe",
    "fsync": "pipe",
    "fdatasync": "pipe",
    "sync_file_range": "pipe, 0, 0, 7",
    "fadvise64": "pipe, 0, 0, 4",
    "readahead": "pipe, 0, 4096",
}
"""Calls for which the kernel has an error where the descriptor is a pipe, but for the first two."""


@pytest.mark.parametrize(("name", "arguments"), DISK.items(), ids=DISK.keys())
def test_what_would_make_the_disk_work_does_not_reach_the_kernel(prison: Prison, name: str, arguments: str) -> None:
    program = f"pipe = os.pipe()[0]\nfor _ in range(1000): assert call({NUMBERS.get(name)}, {arguments}) == 0\nprint('shut it')"
    prison.attack(program)


def test_a_mapping_of_a_library_is_not_written_to_the_disk(prison: Prison) -> None:
    """The kernel does not take it for shared, as it is read-only: msync(2) has nothing to write."""
    program = (
        "import mmap, time\nm = mmap.mmap(os.open(os.__file__, 0), 4096, mmap.MAP_SHARED, mmap.PROT_READ)\n"
        "begin = time.time()\nfor _ in range(10_000): m.flush()\nprint('shut' if time.time() - begin < 1 else 'open', time.time() - begin)"
    )
    prison.attack(program)

"""The fork server: an interpreter that starts once and forks each run of a runtime.

The bootstrap executes this file instead of a program; docs/protocol.md describes what the host sends to it. It is
written for CPython 3.6 and every later one. Programs do not find the modules that it imports, except for those that the
registry names in `preload`. It keeps its privileges; each run gives up its own (`Seal`) before it takes a request.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, Callable, Iterator

    import aside as asides
    import bootstrap
    import libc
    import process
    from aside import Aside
    from record import Record
else:
    import __main__ as bootstrap

CLONE_NEWPID = 0x20000000
CLONE_OTHERS = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x40000000  # mount, cgroup, UTS, IPC, network
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 22, 24, 47, 4
SYS_PIDFD_OPEN = 434  # on every machine
SIOCSIFFLAGS = 0x8914  # netdevice(7)
LOOPBACK_UP = b"lo".ljust(16, b"\0") + (1).to_bytes(2, sys.byteorder) + bytes(22)  # struct ifreq, IFF_UP
SIGKILL = 9
NOT_FORKED = (255 << 8).to_bytes(4, "big") + bytes(8)  # a status (wait(2)) and no CPU time, encoded as by `reap`
CAPABILITIES = 64
REASON = 200  # bytes
IMPORTER = "<frozen importlib._bootstrap>"  # the interpreter's own import, whose frames are left out of tracebacks
HELLO = b"snekhouse fork server 1\n"
FOR_TRACEBACKS = ("linecache", "traceback", "ast") if sys.version_info >= (3, 13) else ()
"""Modules that the interpreter imports by itself for programs that fail; `linecache` also for every program of -c."""

_socket = bootstrap.borrow("_socket")
select = bootstrap.borrow("select")
gc = bootstrap.borrow("gc")  # type: Any
CAN_FREEZE = hasattr(gc, "freeze")  # from Python 3.7 on
SESSION = bootstrap.load("session")
if not TYPE_CHECKING:
    libc = bootstrap.load("libc")
    process = bootstrap.load("process", libc=libc)
    asides = bootstrap.load("aside", IMPORTER, libc=libc)


def serve():  # type: () -> tuple[ModuleType, Hooks]
    """Fork a run for each request of the host. Return in each run, after sealing it; never return in the fork server.

    The fork server is not the first process of its PID namespace, but each run is the first process of its own. So
    their process ids differ, which is how libraries such as OpenSSL detect a fork.
    """
    fork_server = posix.fork()
    if fork_server:
        posix._exit(outlive(fork_server))
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, bootstrap.CONTROL)
    field, number = bootstrap.receive_field, bootstrap.receive_number
    seal = Seal(field(), number(), [(field(), field(), number()) for _ in range(number())])
    record, hooks = preload([field().decode() for _ in range(number())])
    control.sendall(HELLO)
    return _socket, Forks(control, seal, record, hooks).serve()


def outlive(fork_server):  # type: (int) -> int
    """As the first process of the jail, reap orphans until the fork server ends; return its exit code."""
    posix.close(bootstrap.CONTROL)
    while True:
        ended, status = posix.wait()
        if ended == fork_server:
            return posix.WTERMSIG(status) + 128 if posix.WIFSIGNALED(status) else posix.WEXITSTATUS(status)


class Forks:
    """The forked processes that have not ended, by the number that the host gives each: runs, and other generations.

    A pidfd reports the end of each.
    """

    def __init__(self, control, seal, record, hooks):  # type: (Any, Seal, Record, Hooks) -> None
        self.control, self.seal, self.record, self.hooks = control, seal, record, hooks
        self.poll = select.epoll()
        self.pids, self.watches = {}, {}  # type: dict[bytes, int], dict[int, bytes]
        self.poll.register(bootstrap.CONTROL, select.EPOLLIN)

    def serve(self):  # type: () -> Hooks
        """Follow orders and report ends, forever; in each run, return its hooks."""
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor != bootstrap.CONTROL:
                    self.report_end(descriptor)
                elif self.follow_order():
                    return self.hooks

    def follow_order(self):  # type: () -> bool
        """Follow one order of the host; return whether this process is now a run."""
        order, passed = self.control.recvmsg(9, _socket.CMSG_SPACE(4))[:2]
        kind, number = order[:1], order[1:5]
        if kind == b"K":
            if number in self.pids:
                posix.kill(self.pids[number], SIGKILL)
            return False
        if kind not in (b"F", b"G"):
            posix._exit(0)  # the host is gone; the jail ends when the first generation exits
        control = int.from_bytes(passed[0][2], sys.byteorder)
        try:
            pid = self.seal.fork(new_namespace=kind == b"F")
        except OSError as error:
            refuse(control, error)
            self.control.sendall(number + NOT_FORKED)
            pid = -1
        if pid == 0:
            if kind == b"F":
                self.control.detach()
                settle(self.seal, int.from_bytes(order[5:], "big"), control)
                self.record.aside.note_fork()
            else:
                self.hooks = self.begin_generation(control)
            return True
        posix.close(control)
        if pid > 0:
            self.watch(number, pid)
        return False

    def watch(self, number, pid):  # type: (bytes, int) -> None
        """Await the end of a forked process."""
        watch = libc.call("syscall", SYS_PIDFD_OPEN, pid, 0)
        self.pids[number], self.watches[watch] = pid, number
        self.poll.register(watch, select.EPOLLIN)

    def begin_generation(self, control):  # type: (int) -> Hooks
        """Become another generation, which talks with the host over `control`; return in each run that it forks."""
        posix.dup2(control, bootstrap.CONTROL)
        process.close_from(bootstrap.CONTROL + 1)
        self.seal.note_process()
        names = [bootstrap.receive_field().decode() for _ in range(bootstrap.receive_number())]
        before = process.memory()

        def report(kind, reason):  # type: (bytes, str) -> None
            grown = max(0, process.memory() - before)
            text = reason.encode(errors="replace")[:REASON]
            self.control.sendall(kind + grown.to_bytes(4, "big") + len(text).to_bytes(4, "big") + text)

        if CAN_FREEZE and asides.Memory.is_usable():
            if names:
                process.catch_output()
                self.record.fill_with_packages(names, report)
            else:
                self.record.fill()
            self.hooks = freeze(self.record.aside)
        else:
            for _ in names:
                report(process.MISSING, "this Python cannot set modules aside")
        self.control.sendall(HELLO)
        return Forks(self.control, self.seal, self.record, self.hooks).serve()

    def report_end(self, watch):  # type: (int) -> None
        """Report to the host how the process of this pidfd ended."""
        number = self.watches.pop(watch)
        self.poll.unregister(watch)
        posix.close(watch)
        self.control.sendall(number + reap(self.pids.pop(number)))


class Hooks:
    """What the bootstrap uses in a forked run; started cold, it has no hooks."""

    def __init__(self, leave, session):  # type: (Callable[[int], None], Any) -> None
        self.session = session  # the module of sessions
        self.leave = leave  # ends a run at once after its program, if nobody can see the difference; else returns
        # Gives the trace and the profile function without a call, which these functions would see.
        self.watchers = zip(iter(sys.gettrace, 0), iter(sys.getprofile, 0))  # type: Iterator[tuple[object, object]]


def preload(modules):  # type: (list[str]) -> tuple[Record, Hooks]
    """Import modules ahead; return the record of the modules set aside, and the hooks of the runs."""
    outside = bootstrap.load("outside", IMPORTER, asides=asides)
    records = bootstrap.load("record", IMPORTER, asides=asides, outside=outside, process=process)
    record = records.Record(asides.Aside())  # type: Record
    if CAN_FREEZE:
        record.fill(FOR_TRACEBACKS)
    for name in modules:
        try:
            __import__(name)
        except Exception as error:
            reason = type(error).__name__ + ": " + " ".join(str(error).split())  # the host reads one line
            sys.exit("preload: " + name + " cannot be imported: " + reason)
    record.aside.note_visible()
    compile("", "", "exec")  # makes all types of the module ast, once for all runs
    return record, freeze(record.aside)


def freeze(aside):  # type: (Aside) -> Hooks
    """Exempt all objects so far from garbage collection, from Python 3.7 on; return the hooks of the runs."""
    gc.collect()
    held = gc.get_objects()
    held.append(held)  # never freed: that would write to pages, and copy them in each run
    leaving = bootstrap.load("leaving", asides=asides, libc=libc)
    hooks = Hooks(leaving.Leaving(aside, () if CAN_FREEZE else map(id, held)).leave, SESSION)
    if CAN_FREEZE:
        gc.freeze()
    return hooks


def settle(seal, user, control):  # type: (Seal, int, int) -> None
    """Seal this process as a run whose control socket is `control`; or send the host the reason, and exit."""
    try:
        posix.setsid()
        posix.dup2(control, bootstrap.CONTROL)
        process.close_from(bootstrap.CONTROL + 1)
        seal.close(user)
        freshen()
    except BaseException as error:
        refuse(bootstrap.CONTROL, error)
        posix._exit(1)


def refuse(control, error):  # type: (int, BaseException) -> None
    """Send the host the reason why it gets no run, or no other generation."""
    posix.write(control, b"E" + str(error).encode()[:REASON])


def reap(pid):  # type: (int) -> bytes
    """Wait for a process that has ended; encode its status and its microseconds of CPU time."""
    had = "resource" in sys.modules  # wait4 imports it
    _, status, usage = posix.wait4(pid, 0)
    if not had:
        sys.modules.pop("resource", None)
    return status.to_bytes(4, "big") + int((usage.ru_utime + usage.ru_stime) * 1e6).to_bytes(8, "big")


class Seal:
    """What separates a run from the host, the fork server and other runs."""

    def __init__(self, policy, loopback, mounts):  # type: (bytes, int, list[tuple[bytes, bytes, int]]) -> None
        self.loopback, self.mounts = loopback, mounts
        self.policy, address = libc.array(policy)
        self.program = (len(policy) // 8).to_bytes(8, sys.byteorder) + address  # struct sock_fprog
        self.note_process()
        for capability in range(CAPABILITIES):
            try:
                libc.call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
            except OSError:
                break  # the kernel has no more
        libc.call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)

    def note_process(self):  # type: () -> None
        """Note which process forks the runs."""
        self.own_pid = libc.call("syscall", SYS_PIDFD_OPEN, posix.getpid(), 0)

    def fork(self, new_namespace):  # type: (bool) -> int
        """Fork a process: the first one of a new PID namespace, or another one in this process's own."""
        libc.call("setns", self.own_pid, CLONE_NEWPID)  # leaves the namespace of the previous run
        if new_namespace:
            libc.call("unshare", CLONE_NEWPID)
        return posix.fork()

    def close(self, user):  # type: (int) -> None
        """Enter namespaces, folders and a user id of the run's own; give up all privileges for good."""
        libc.call("unshare", CLONE_OTHERS)
        if self.loopback:
            carrier = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
            libc.call("ioctl", carrier.fileno(), SIOCSIFFLAGS, LOOPBACK_UP)  # the kernel gives it 127.0.0.1 and ::1
            carrier.close()
        if user != posix.getuid():
            posix.setresgid(user, user, user)
            posix.setresuid(user, user, user)
        for folder, options, flags in self.mounts:
            libc.call("mount", b"tmpfs", folder, b"tmpfs", flags, options)
        posix.chdir("/home")
        libc.call("capset", b"\x22\x05\x08\x20" + bytes(4), bytes(24))  # _LINUX_CAPABILITY_VERSION_3, none of any set
        libc.call("prctl", PR_SET_SECCOMP, 2, self.program, 0, 0)


def freshen():  # type: () -> None
    """Give a run random numbers of its own, from modules that were imported ahead."""
    modules = sys.modules  # type: dict[str, Any]
    for name in ("random", "numpy.random", "torch"):
        if name in modules:
            modules[name].seed()
    if "tempfile" in modules:
        modules["tempfile"]._name_sequence = None
    if "uuid" in modules:
        modules["uuid"]._node = modules["uuid"]._last_timestamp = None

"""What the import of a package must not change in a process that forks runs.

The fork server executes this file. It is written for CPython 3.6 and every later one.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    import bootstrap
    import libc
else:
    import __main__ as bootstrap

CLONE_THREAD = 0x00010000
SYS_CLOSE_RANGE = 436  # on every machine, from Linux 5.9 on
DESCRIPTORS = posix.sysconf("SC_OPEN_MAX")
SIGNALS = range(1, 65)

_locale, _signal, _thread, gc, resource = map(bootstrap.borrow, ("_locale", "_signal", "_thread", "gc", "resource"))


SET_ASIDE, MISSING, UNFIT = b"T", b"M", b"U"
"""What becomes of a package's module: it is set aside; it cannot be imported; the process can fork no runs any more."""


class State:
    """A record of what runs inherit from this process, and of what they lose: open files and threads."""

    def __init__(self):  # type: () -> None
        self.values = [look() for _, look in LOOKS]

    def changed(self):  # type: () -> str
        """Return what has changed since; empty if nothing has."""
        now = State().values
        found = [what for (what, _), old, new in zip(LOOKS, self.values, now) if old != new]
        if not found and has_threads():
            found.append("it starts threads in C, and does not stop them before a fork")
        return ", ".join(found)


def has_threads():  # type: () -> bool
    """Return whether this process has threads that stay when it forks; libraries such as OpenBLAS stop their own.

    A run has only the thread that forked it. A library whose threads were not stopped would wait for them forever.
    """
    pid = posix.fork()
    if pid == 0:
        posix._exit(0)
    posix.waitpid(pid, 0)
    try:
        libc.call("unshare", CLONE_THREAD)  # with one thread, this does nothing; with several, it fails
    except OSError:
        return True
    return False


def close_from(first):  # type: (int) -> None
    """Close all descriptors from `first` on. Few are open, but their numbers may be large."""
    try:
        libc.call("syscall", SYS_CLOSE_RANGE, first, DESCRIPTORS, 0)
    except OSError:
        posix.closerange(first, DESCRIPTORS)


def open_descriptors():  # type: () -> list[int]
    """Return the open descriptors; runs close them."""
    found = []
    for descriptor in range(DESCRIPTORS):
        try:
            posix.fstat(descriptor)
        except OSError:
            continue
        found.append(descriptor)
    return found


def catch_output():  # type: () -> None
    """Let all that this process prints go to a file without a name; its size tells whether it has printed anything."""
    file = posix.open("/dev/shm", posix.O_RDWR | posix.O_TMPFILE, 0o600)
    for stream in (1, 2):
        posix.dup2(file, stream)
    posix.close(file)


def printed():  # type: () -> int
    """Return how much this process has printed since `catch_output`, in bytes."""
    sys.stdout.flush()
    sys.stderr.flush()
    return posix.fstat(1).st_size


def tools():  # type: () -> list[str | None]
    """Return the names of the tools that monitor, from Python 3.12 on."""
    monitoring = getattr(sys, "monitoring", None)  # type: Any
    return [monitoring.get_tool(each) for each in range(6)] if monitoring else []


def memory():  # type: () -> int
    """Return the most memory that this process had so far, in KiB."""
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


LOOKS = (
    ("it prints", printed),
    ("it turns the global interpreter lock on", getattr(sys, "_is_gil_enabled", bool)),
    ("it starts threads", _thread._count),
    ("it leaves files or sockets open", open_descriptors),
    ("it handles signals", lambda: [_signal.getsignal(each) for each in SIGNALS]),
    ("it sets a timer", lambda: [_signal.getitimer(each) for each in range(3)]),
    ("it replaces a hook of sys", lambda: (sys.excepthook, sys.displayhook, sys.breakpointhook)),
    ("it replaces a standard stream", lambda: (sys.stdin, sys.stdout, sys.stderr)),
    ("it changes sys.path", lambda: sys.path[:]),
    ("it changes how modules are found", lambda: (sys.meta_path[:], sys.path_hooks[:])),
    ("it traces, profiles or monitors", lambda: (sys.gettrace(), sys.getprofile(), tools())),
    ("it changes the locale", lambda: _locale.setlocale(_locale.LC_ALL, None)),
    ("it changes the working folder", posix.getcwd),
    ("it changes limits of the interpreter", lambda: (sys.getrecursionlimit(), sys.getswitchinterval())),
    ("it changes the garbage collection", lambda: (gc.isenabled(), gc.get_threshold(), gc.callbacks[:])),
)  # type: tuple[tuple[str, Callable[[], object]], ...]
"""What is compared, and what a difference means."""

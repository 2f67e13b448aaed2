# The fork server of a runtime: an interpreter that has started, and is forked for each evaluation. The bootstrap runs
# this; docs/protocol.md describes what the host says to it.
import posix
import sys

import __main__ as bootstrap

CLONE_NEWPID = 0x20000000
CLONE_OTHERS = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x40000000  # mount, cgroup, UTS, IPC, network
PR_SET_SECCOMP, PR_CAPBSET_DROP, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 22, 24, 47, 4
SYS_PIDFD_OPEN = 434  # on every machine
SIOCSIFFLAGS = 0x8914  # netdevice(7)
LOOPBACK_UP = b"lo".ljust(16, b"\0") + (1).to_bytes(2, sys.byteorder) + bytes(22)  # struct ifreq, IFF_UP
SIGKILL = 9
FAILED = 255
CAPABILITIES = 64
DESCRIPTORS = posix.sysconf("SC_OPEN_MAX")

_ctypes = bootstrap.borrow("_ctypes")
_socket = bootstrap.borrow("_socket")
select = bootstrap.borrow("select")


def serve():
    """Fork a run for each request of the host; return in each, sealed. The fork server itself never returns.

    It is not the first process of its jail, and so has another process id than any run: libraries that look whether
    they were forked by that, such as OpenSSL, see it.
    """
    fork_server = posix.fork()
    if fork_server:
        posix._exit(outlive(fork_server))
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, bootstrap.CONTROL)
    field, number = bootstrap.receive_field, bootstrap.receive_number
    seal = Seal(field(), number(), [(field(), field(), number()) for _ in range(number())])
    preload([field().decode() for _ in range(number())])
    control.sendall(b"snekhouse fork server 1\n")
    runs, watches, poll = {}, {}, select.poll()
    poll.register(bootstrap.CONTROL, select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor != bootstrap.CONTROL:
                number = watches.pop(descriptor)
                poll.unregister(descriptor)
                posix.close(descriptor)
                control.sendall(number + reap(runs.pop(number)))
                continue
            order, passed = control.recvmsg(9, _socket.CMSG_SPACE(4))[:2]
            number = order[1:5]
            if order[:1] == b"F":
                run = int.from_bytes(passed[0][2], sys.byteorder)
                runs[number] = fork(seal, int.from_bytes(order[5:], "big"), run)
                if runs[number] == 0:
                    control.detach()
                    return _socket
                posix.close(run)
                if runs[number] is None:
                    control.sendall(number + encode_end(FAILED << 8, 0))
                    continue
                watch = call("syscall", SYS_PIDFD_OPEN, runs[number], 0)
                watches[watch] = number
                poll.register(watch, select.POLLIN)
            elif order[:1] == b"K":
                if number in runs:
                    posix.kill(runs[number], SIGKILL)
            else:
                posix._exit(0)  # the host is gone, and nothing of the jail stays


def outlive(fork_server):
    """As the first process of the jail, wait for all that ends in it, until the fork server does."""
    posix.close(bootstrap.CONTROL)
    while True:
        ended, status = posix.wait()
        if ended == fork_server:
            return posix.WTERMSIG(status) + 128 if posix.WIFSIGNALED(status) else posix.WEXITSTATUS(status)


def preload(modules):
    """Import what programs shall find imported, and keep the garbage collector's hands off all there is so far."""
    for name in modules:
        __import__(name)
    if sys.version_info >= (3, 13):
        bootstrap.SET_ASIDE.update(import_aside("linecache"))
        compile("", "", "exec")  # makes all types of the module ast, once for all
    gc = bootstrap.borrow("gc")
    gc.collect()
    held = gc.get_objects()
    held.append(held)  # for good: what a run frees at its end it writes to, which copies the page
    bootstrap.leave = Leaving(() if hasattr(gc, "freeze") else map(id, held)).leave
    bootstrap.WATCHING = zip(iter(sys.gettrace, 0), iter(sys.getprofile, 0))
    if hasattr(gc, "freeze"):  # from Python 3.7 on
        gc.freeze()


class Leaving:
    """How a run leaves whose program has come to its end: at once, where the interpreter's own end would change nothing
    that anybody sees, and take as long as all that went before. Whatever is in doubt goes the interpreter's way.
    """

    HARMLESS = set(
        "__main__ _bisect _blake2 _bootlocale _collections _contextvars _csv _datetime _decimal _elementtree _functools"
        " _hashlib _heapq _json _locale _lsprof _md5 _opcode _operator _pickle _posixsubprocess _queue _random _sha1"
        " _sha2 _sha256 _sha3 _sha512 _socket _sre _ssl _statistics _string _struct _symtable _tokenize _typing _uuid"
        " _zoneinfo array binascii errno fcntl gc grp"
        " itertools marshal math cmath pwd pyexpat resource select time unicodedata zlib".split()
    )
    """Modules written in C that keep nothing to be done until the end, such as buffers of C's own."""

    MOST = 50000
    """Objects that it pays to look at."""

    def __init__(self, old):
        """Take note of how things stand; `old` has the ids of objects that were not frozen, and stay."""
        self.old = set(old)
        self.atexit, self.gc, self.thread = (bootstrap.borrow(name) for name in ("atexit", "gc", "_thread"))
        self.known = set(sys.modules)
        self.streams = sys.stdout, sys.stderr
        weakref = bootstrap.borrow("_weakref")
        self.proxy, self.ref = weakref.ProxyType, weakref.ReferenceType
        self.exit = posix._exit
        # As the interpreter sees them, whatever a program's classes say:
        self.bases, self.contents = type.__dict__["__mro__"].__get__, type.__dict__["__dict__"].__get__
        self.callback = self.ref.__dict__["__callback__"].__get__

    def leave(self):
        """End the process, or return for the interpreter to do it."""
        try:
            if self.is_over() and self.has_no_finalizers():
                for stream in self.streams:
                    stream.flush()
                self.exit(0)
        except Exception:
            pass

    def is_over(self):
        """Whether nothing of the program is yet to be called, and nobody watches."""
        if self.thread._count() or self.atexit._ncallbacks():
            return False
        if sys.stdout is not self.streams[0] or sys.stderr is not self.streams[1]:
            return False
        if self.gc.callbacks or self.gc.garbage or self.gc.get_debug():
            return False
        if hasattr(sys, "monitoring") and any(map(sys.monitoring.get_tool, range(6))):
            return False
        if "threading" in sys.modules and getattr(sys.modules["threading"], "_threading_atexits", None):
            return False
        return all(name in self.known or self.is_harmless(name, module) for name, module in sys.modules.items())

    def is_harmless(self, name, module):
        """Whether a module has no end of its own: those written in Python have none but their objects'."""
        file = module.__dict__.get("__file__") if type(module) is type(sys) else None
        return name in self.HARMLESS or type(file) is str and file.endswith((".py", ".pyc"))

    def has_no_finalizers(self):
        """Whether no object that came into being since the fork does something when it goes."""
        objects = self.gc.get_objects()  # but for those that the fork server froze
        if self.old:
            objects = [each for each in objects if id(each) not in self.old]
        if len(objects) > self.MOST:
            return False
        kinds = {type(each) for each in objects}
        if any("__del__" in self.contents(base) for kind in kinds for base in self.bases(kind)):
            return False
        if any(issubclass(kind, self.proxy) for kind in kinds):
            return False
        return not any(self.callback(each) for each in objects if issubclass(type(each), self.ref))


def import_aside(name):
    """Import a module, and take it and those that it brought out of sight again; return them."""
    before = set(sys.modules)
    __import__(name)
    return {name: sys.modules.pop(name) for name in list(sys.modules) if name not in before}


def fork(seal, user, control):
    """Fork a run; return its process id here, and 0 in it, which then talks with the host over `control`.

    Whatever keeps it from being sealed is told to the host there, and ends it.
    """
    try:
        pid = seal.fork()
    except OSError as error:
        refuse(control, error)
        return None
    if pid:
        return pid
    try:
        posix.setsid()
        posix.dup2(control, bootstrap.CONTROL)
        posix.closerange(bootstrap.CONTROL + 1, DESCRIPTORS)
        seal.close(user)
        freshen()
    except BaseException as error:
        refuse(bootstrap.CONTROL, error)
        posix._exit(1)
    return 0


def refuse(control, error):
    posix.write(control, b"E" + str(error).encode()[:200])


def reap(pid):
    """Wait for a run that has ended; encode how, and how much CPU it took."""
    had = "resource" in sys.modules  # wait4 imports it
    _, status, usage = posix.wait4(pid, 0)
    if not had:
        sys.modules.pop("resource", None)
    return encode_end(status, usage.ru_utime + usage.ru_stime)


def encode_end(status, seconds):
    return status.to_bytes(4, "big") + int(seconds * 1e6).to_bytes(8, "big")


class Seal:
    """What closes a run off: from the host, from the fork server, and from other runs."""

    def __init__(self, policy, loopback, mounts):
        self.loopback, self.mounts = loopback, mounts
        self.policy = in_memory(policy)
        address = _ctypes.addressof(self.policy).to_bytes(8, sys.byteorder)
        self.program = (len(policy) // 8).to_bytes(8, sys.byteorder) + address  # struct sock_fprog
        self.own_pid = call("syscall", SYS_PIDFD_OPEN, posix.getpid(), 0)
        for capability in range(CAPABILITIES):
            try:
                call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
            except OSError:
                break  # the kernel has no more
        call("prctl", PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)

    def fork(self):
        """Fork a process that is the first of a PID namespace."""
        call("setns", self.own_pid, CLONE_NEWPID)  # in which only the one before was
        call("unshare", CLONE_NEWPID)
        return posix.fork()

    def close(self, user):
        """Take namespaces, folders and an id of its own, and give away everything else, for good."""
        call("unshare", CLONE_OTHERS)
        if self.loopback:
            carrier = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
            call("ioctl", carrier.fileno(), SIOCSIFFLAGS, LOOPBACK_UP)  # the kernel gives it 127.0.0.1 and ::1
            carrier.close()
        if user != posix.getuid():
            posix.setresgid(user, user, user)
            posix.setresuid(user, user, user)
        for folder, options, flags in self.mounts:
            call("mount", b"tmpfs", folder, b"tmpfs", flags, options)
        posix.chdir("/home")
        call("capset", b"\x22\x05\x08\x20" + bytes(4), bytes(24))  # _LINUX_CAPABILITY_VERSION_3, none of any set
        call("prctl", PR_SET_SECCOMP, 2, self.program, 0, 0)


def freshen():
    """Seed anew what draws at random and was imported ahead."""
    modules = sys.modules
    for name in ("random", "numpy.random"):
        if name in modules:
            modules[name].seed()
    if "tempfile" in modules:
        modules["tempfile"]._name_sequence = None
    if "uuid" in modules:
        modules["uuid"]._node = modules["uuid"]._last_timestamp = None


class Integer(_ctypes._SimpleCData):
    _type_ = "i"


class Byte(_ctypes._SimpleCData):
    _type_ = "B"


class Function(_ctypes.CFuncPtr):
    _flags_ = 1 | 8  # C's way of calling, and errno is kept
    _restype_ = Integer


FUNCTIONS = {
    name: Function(_ctypes.dlsym(_ctypes.dlopen(None, 0), name))
    for name in ("capset", "ioctl", "mount", "prctl", "setns", "syscall", "unshare")
}


def call(name, *arguments):
    """Call a function of the C library: integers of 32 bits, and bytes for pointers to them."""
    result = FUNCTIONS[name](*arguments)
    if result < 0:
        number = _ctypes.get_errno()
        raise OSError(number, name + ": " + posix.strerror(number))
    return result


def in_memory(content):
    """Put bytes where they stay."""
    array = type("Array", (_ctypes.Array,), {"_type_": Byte, "_length_": len(content)})
    return array.from_buffer_copy(content)

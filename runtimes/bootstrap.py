import posix
import sys

CONTROL = 3
HOME = b"/home"


def main():
    """Take one request from the host; return how to run the program that it asks for."""
    forget_bootstrap()
    join_groups(sys.argv[1:])
    say_hello()
    return become(take_request())


def forget_bootstrap():
    """Undo what the interpreter did to the import system for running this file."""
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    sys.path_importer_cache.pop(__file__, None)


def join_groups(doors):
    """Move into the run's cgroups, through descriptors of theirs that the host lent."""
    for door in doors:
        posix.write(int(door), b"0")
        posix.close(int(door))


def say_hello():
    """Lend the home to the host: a descriptor of it goes over the control socket (SCM_RIGHTS, unix(7))."""
    import _socket
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, CONTROL)
    home = posix.open(HOME, posix.O_RDONLY | posix.O_DIRECTORY)
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, home.to_bytes(4, sys.byteorder))
    control.sendmsg([b"snekhouse 1\n"], [rights])
    control.detach()
    posix.close(home)
    del sys.modules["_socket"]


def take_request():
    """Take arguments and files, report, and let go of the host."""
    args = [receive_field() for _ in range(receive_number())]
    stamps = b""
    for index in range(receive_number()):
        try:
            stamps += receive_file()
        except OSError as error:
            send(b"E" + index.to_bytes(4, "big") + error.errno.to_bytes(4, "big"))
            posix._exit(1)
    send(b"R" + stamps)
    posix.close(CONTROL)
    return args


def send(report):
    while report:
        report = report[posix.write(CONTROL, report):]


def receive(size):
    received = b""
    while len(received) < size:
        chunk = posix.read(CONTROL, size - len(received))
        if not chunk:
            posix._exit(1)    # the host is gone
        received += chunk
    return received


def receive_number():
    return int.from_bytes(receive(4), "big")


def receive_field():
    return receive(receive_number())


def receive_file():
    """Write one input file below the home as it streams in; return its stamp (inode, mtime)."""
    path = receive_field()
    left = receive_number()
    folders = path.split(b"/")[:-1]
    for depth in range(1, len(folders) + 1):
        try:
            posix.mkdir(HOME + b"/" + b"/".join(folders[:depth]))
        except FileExistsError:
            pass
    flags = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC
    file = posix.open(HOME + b"/" + path, flags, 0o777)
    posix.fchmod(file, 0o777)
    while left:
        chunk = receive(min(left, 1 << 18))
        left -= len(chunk)
        while chunk:
            chunk = chunk[posix.write(file, chunk):]
    status = posix.fstat(file)
    posix.close(file)
    return status.st_ino.to_bytes(8, "big") + status.st_mtime_ns.to_bytes(8, "big")

def become(args):
    """Set the stage for `python ARGS`; return the C function that runs it, and its arguments.

    In place where nobody can tell it from the real thing, else by execv, which is always right.
    """
    encoding = sys.getfilesystemencoding()
    argv = [arg.decode(encoding, "surrogateescape") for arg in args]
    kind = argv[0] if argv else "-"
    python = c_functions()
    if python and kind == "-c" and len(argv) > 1 and runs_in_place(argv[1]):
        start_main(argv, ["-c"] + argv[2:], "")
        if sys.version_info >= (3, 13):
            register_source(argv[1] + "\n")
        return python.run_string(argv[1].encode("utf-8", "surrogateescape") + b"\n")
    if python and kind == "-m" and len(argv) > 1:
        start_main(argv, ["-m"] + argv[2:], posix.getcwd() if sys.version_info >= (3, 7) else "")
        return run_module, (argv[1],)
    if python and kind[:1] not in ("", "-") and is_script(kind):
        start_main(argv, argv, script_folder(kind))
        path = script_path(kind)
        sys.path_importer_cache[path] = None    # as main.c leaves it after asking every path hook
        return python.run_file(path.encode(encoding, "surrogateescape"))
    posix.execv(sys.executable, [sys.executable] + argv)


def runs_in_place(code):
    """Leave to the interpreter what it does with code before it runs it.

    Python 3.14 and later dedent it. 3.13 and later know its source lines only after warnings of its syntax are shown,
    where they would be known before: so code that has any, or errors, is left to it as well.
    """
    if sys.version_info < (3, 13):
        return True
    if sys.version_info >= (3, 14) and code.lstrip("\r\n\f")[:1].isspace():
        return False
    known = set(sys.modules)
    import warnings
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compile(code + "\n", "<string>", "exec", 0, True)
        return True
    except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
        return False
    finally:
        for name in set(sys.modules) - known:
            del sys.modules[name]


def is_script(path):
    """Tell whether a path is a plain source or bytecode file: no folder, no zip file, nothing that cannot be read."""
    try:
        if posix.stat(path).st_mode & 0o170000 != 0o100000 or not posix.access(path, posix.R_OK):
            return False
    except OSError:
        return False
    for hook in sys.path_hooks:
        try:
            hook(path)
            return False
        except ImportError:
            pass
    return True


def script_path(path):
    """What __file__ will be: absolute, though not normalised, from Python 3.9 on."""
    return path if sys.version_info < (3, 9) or path[0] == "/" else posix.getcwd() + "/" + path


def script_folder(path):
    from os.path import dirname, realpath    # site has imported it already
    return dirname(realpath(path))


def start_main(argv, arguments, folder):
    """Make sys and __main__ what they are when the interpreter starts on these arguments."""
    sys.argv[:] = arguments
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[1:] = argv
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, folder)
    sys.modules["__main__"].__name__ = "bootstrap"
    main = type(sys)("__main__")
    main.__loader__ = sys.modules["_frozen_importlib"].BuiltinImporter
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    main.__builtins__ = sys.modules["builtins"]
    sys.modules["__main__"] = main


def register_source(source):
    """Let tracebacks show the source, as main.c does from Python 3.13 on."""
    import linecache
    if not hasattr(linecache, "_interactive_cache"):
        linecache._register_code("<string>", source, "<string>")
        return
    try:
        linecache._register_code(compile(source, "<string>", "exec"), source, "<string>")
    except (SyntaxError, ValueError):
        pass    # the run itself will tell


def run_module(name):
    """Run a module as __main__; return whether it failed, with its traceback printed from runpy on."""
    import runpy
    try:
        runpy._run_module_as_main(name)
    except SystemExit:
        raise
    except BaseException as error:
        error.__traceback__ = sys.last_traceback = error.__traceback__.tb_next
        sys.last_type, sys.last_value = type(error), error
        if sys.version_info >= (3, 12):
            sys.last_exc = error
        sys.excepthook(type(error), error, error.__traceback__)
        return True
    return False


def finish(failed):
    """End as main.c does after the program: 1 when it failed; what SIGINT does when that was a KeyboardInterrupt."""
    if failed and getattr(sys, "last_type", None) is KeyboardInterrupt:
        sys.excepthook = lambda *_: None    # it has been printed
        raise KeyboardInterrupt
    if failed:
        raise SystemExit(1)


def c_functions():
    """Find the C functions that main.c itself uses; None in an interpreter without."""
    try:
        import _ctypes
    except ImportError:
        return None
    try:
        return Functions(_ctypes)
    except (AttributeError, OSError):
        return None
    finally:
        del sys.modules["_ctypes"]


class Functions:
    """PyRun_SimpleStringFlags and PyRun_AnyFileExFlags, called through _ctypes: importing ctypes takes 2 ms."""

    IGNORE_COOKIE = 0x0800 if sys.version_info >= (3, 10) else 0    # PyCF_IGNORE_COOKIE

    def __init__(self, ctypes):
        class Int(ctypes._SimpleCData):
            _type_ = "i"

        class Pointer(ctypes._SimpleCData):
            _type_ = "P"

        class Flags(ctypes.Array):    # struct PyCompilerFlags: cf_flags, cf_feature_version
            _type_ = Int
            _length_ = 2

        class Python(ctypes.CFuncPtr):
            _flags_ = ctypes.FUNCFLAG_CDECL | ctypes.FUNCFLAG_PYTHONAPI    # keeps the lock, reports errors
            _restype_ = Int

        class C(ctypes.CFuncPtr):
            _flags_ = ctypes.FUNCFLAG_CDECL
            _restype_ = Pointer

        everything = ctypes.dlopen(None, 0)
        self.string = Python(ctypes.dlsym(everything, "PyRun_SimpleStringFlags"))
        self.file = Python(ctypes.dlsym(everything, "PyRun_AnyFileExFlags"))
        self.fopen = C(ctypes.dlsym(everything, "fopen"))
        self.flags, self.pointer = Flags, Pointer

    def run_string(self, code):
        return self.string, (code, self.flags(self.IGNORE_COOKIE, sys.version_info[1]))

    def run_file(self, path):
        file = self.pointer(self.fopen(path, b"rbe"))
        return self.file, (file, path, 1, self.flags(0, sys.version_info[1]))


if __name__ == "__main__":
    run, arguments = main()
    failed = run(*arguments)    # here, that there is but one frame of ours below the program's
    finish(failed)

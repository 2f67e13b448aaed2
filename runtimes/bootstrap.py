"""The bootstrap: what an interpreter runs first in a jail. It takes one request from the host and becomes its program.

It is written for Python 3.6 and every later one, CPython or PyPy. It imports only `posix` and `sys`, which every
interpreter has loaded, and borrows the rest: a program must find what plain `python ARGS` gives it. docs/protocol.md
describes the conversation with the host, and all that differs for a program.

It stays one file because each cold start loads it: as bytecode without docstrings. Types are in comments, which cost
nothing there. ruff checks it for 3.7, mypy for 3.10 and 3.15; a test compiles it with each interpreter.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType, ModuleType
    from typing import Any, Callable, NoReturn, Sequence

    from fork_server import Hooks

    Staged = Callable[[], tuple[Callable[..., object], tuple[Any, ...]]]  # gives what to call, with which arguments

CONTROL = 3
HOME = b"/home"
GUEST_FILES = "/snekhouse/"
HOOKS = None  # type: Hooks | None  # a forked run has those of its fork server; a cold start has none
ASIDE = {}  # type: dict[str, ModuleType]  # modules that the fork server has set aside
MAIN = 0  # id of the program's own __main__
IS_SCRIPT = False  # whether the program is a file
SESSION = 0xFFFFFFFF  # instead of a number of arguments
S_IFMT, S_IFREG = 0o170000, 0o100000  # inode(7)
AT_START = (b"PYTHON", b"PYPY", b"LANG", b"LC_", b"LD_", b"GLIBC_", b"MALLOC_")
LATER = (b"PYTHON_COLORS", b"PYTHONBREAKPOINT")
"""Prefixes of the variables that an interpreter reads when it starts, and those among them that it reads later."""
EXIT_CODES = range(256)  # the interpreter reduces other integers to 8 bits, and prints other objects
TELLING = ("__subclasses__", "addaudithook")
"""A program with one of these words starts in a new interpreter: a fork has more classes, and misses audit events."""
COERCED = list(posix.environ)[-1:] == [b"LC_CTYPE"]  # the interpreter has appended its own LC_CTYPE (PEP 538)


def main():  # type: () -> Staged
    """Take one request from the host; return its program, prepared but not yet run (`Staged`)."""
    forget_bootstrap()
    if sys.argv[1:] == ["fork"]:
        meet_host(await_fork(), 3)
    elif sys.argv[1:] == ["session"]:  # `take_request` started this interpreter
        load("session").serve()
    elif len(sys.argv) > 1:  # `hand_over` started this interpreter
        return become(take_over(int(sys.argv[1])))
    else:
        meet_host(borrow("_socket"), 0)
    return become(*take_request())


def forget_bootstrap():  # type: () -> None
    """Undo what the interpreter did to the import system to run this file."""
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    sys.path_importer_cache.pop(__file__, None)


def borrow(name):  # type: (str) -> ModuleType
    """Import a module without a trace in sys.modules."""
    if name in ASIDE:
        return ASIDE[name]
    had = name in sys.modules
    module = __import__(name)
    if not had:
        del sys.modules[name]
    return module


def await_fork():  # type: () -> Any
    """Become the fork server; in each run that it forks, take its hooks and return the module _socket."""
    global HOOKS
    _socket, HOOKS = load("fork_server").serve()
    return _socket


def load(name, origin="<string>", **given):  # type: (str, str, ModuleType) -> Any
    """Execute another guest file as a module, and return this module; its global variables include `given`.

    `origin` is the file that tracebacks show.
    """
    module = type(sys)(name)
    module.__dict__.update(given)
    with open(GUEST_FILES + name + ".py") as file:
        exec(compile(file.read(), origin, "exec"), module.__dict__)
    return module


def meet_host(_socket, streams):  # type: (ModuleType, int) -> None
    """Send the home to the host, receive `streams` standard streams and the `tasks` files, and join their cgroups.

    Descriptors travel over the control socket both ways (SCM_RIGHTS, unix(7)).
    """
    control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, CONTROL)
    home = posix.open(HOME, posix.O_RDONLY | posix.O_DIRECTORY)
    control.sendmsg([b"snekhouse 1\n"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, home.to_bytes(4, sys.byteorder))])
    posix.close(home)
    count, passed = control.recvmsg(4, _socket.CMSG_SPACE(16 * 4))[:2]
    control.detach()
    numbers = b"".join(numbers for _, _, numbers in passed)
    descriptors = [int.from_bytes(numbers[at : at + 4], sys.byteorder) for at in range(0, len(numbers), 4)]
    if len(descriptors) != streams + int.from_bytes(count, "big"):
        posix._exit(1)  # no program runs without its limits
    for stream in range(streams):
        posix.dup2(descriptors[stream], stream)
    for tasks in descriptors[streams:]:
        posix.write(tasks, b"0")
    for descriptor in descriptors:
        posix.close(descriptor)


def take_request():  # type: () -> tuple[list[bytes], list[tuple[bytes, bytes]]]
    """Take arguments, variables and files; report the files, and close the control socket.

    Never return if the host asks for a session.
    """
    count = receive_number()
    args = [receive_field() for _ in range(0 if count == SESSION else count)]
    variables = [(receive_field(), receive_field()) for _ in range(receive_number())]
    report = receive_files()
    write(CONTROL, report)
    if report[:1] == b"E":
        posix._exit(1)
    if count == SESSION:
        if set_variables(variables):
            forget_coercion()
            posix.execv(sys.executable, [sys.executable, __file__, "session"])
        (load("session") if HOOKS is None else HOOKS.session).serve()
    posix.close(CONTROL)
    return args, variables


def receive_files():  # type: () -> bytes
    """Write all input files below the home; return the report: their stamps, or which one failed first, and why."""
    report = b"R"
    for index in range(receive_number()):
        try:
            stamp = receive_file()
        except OSError as error:
            failure = b"E" + index.to_bytes(4, "big") + (error.errno or 0).to_bytes(4, "big")
            report = report if report[:1] == b"E" else failure
        else:
            report += stamp if report[:1] == b"R" else b""
    return report


def write(file, content):  # type: (int, bytes) -> None
    """Write all of it to a descriptor."""
    while content:
        content = content[posix.write(file, content) :]


def receive(size):  # type: (int) -> bytes
    """Receive exactly `size` bytes from the host; exit if the host is gone."""
    chunks = []
    while size:
        chunks.append(posix.read(CONTROL, size))
        if not chunks[-1]:
            posix._exit(1)
        size -= len(chunks[-1])
    return b"".join(chunks)


def receive_number():  # type: () -> int
    """Receive a u32."""
    return int.from_bytes(receive(4), "big")


def receive_field():  # type: () -> bytes
    """Receive a length and as many bytes."""
    return receive(receive_number())


def receive_file():  # type: () -> bytes
    """Write one input file below the home as it streams in; return its stamp (inode, mtime).

    If that fails, still receive the rest of the file, because a session receives more messages.
    """
    path = HOME + b"/" + receive_field()
    left, file = receive_number(), -1
    try:
        try:
            file = create(path)
        except (FileNotFoundError, NotADirectoryError):
            make_folder(path.rpartition(b"/")[0])
            file = create(path)
        posix.fchmod(file, 0o777)
        while left:
            chunk = receive(min(left, 1 << 18))
            left -= len(chunk)
            write(file, chunk)
        status = posix.fstat(file)
    finally:
        while left:
            left -= len(receive(min(left, 1 << 18)))
        if file >= 0:
            posix.close(file)
    return status.st_ino.to_bytes(8, "big") + status.st_mtime_ns.to_bytes(8, "big")


def create(path):  # type: (bytes) -> int
    """Open a new or emptied file for writing."""
    return posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o777)


def make_folder(path):  # type: (bytes) -> None
    """Make a folder, and those above it that are missing."""
    try:
        posix.mkdir(path)
    except FileNotFoundError:
        make_folder(path.rpartition(b"/")[0])
        make_folder(path)


def set_variables(variables):  # type: (Sequence[tuple[bytes, bytes]]) -> bool
    """Change the environment; return whether the interpreter read one of these variables when it started."""
    for name, value in variables:
        if name == b"LC_CTYPE":
            forget_coercion()  # which removes the interpreter's own value, and must not remove this one
        sys.modules["os"].environb[name] = value
        if name == b"TZ":
            borrow("time").tzset()
    return any(name.startswith(AT_START) and name not in LATER for name, _ in variables)


def become(args, variables=()):  # type: (list[bytes], Sequence[tuple[bytes, bytes]]) -> Staged
    """Prepare this interpreter to run `python ARGS`; return the program, not yet run.

    It runs in place if nobody can distinguish that from a new interpreter. Otherwise execv starts a new one, which is
    always right but slower.
    """
    encoding = sys.getfilesystemencoding()
    argv = [arg.decode(encoding, "surrogateescape") for arg in args]
    args.clear()  # frees what is now in argv: code may have megabytes
    if set_variables(variables):
        execute(argv, True)
    kind = argv[0] if argv else "-"
    staged = None
    if kind == "-c" and len(argv) > 1:
        staged = stage_code(argv)
    elif kind == "-m" and len(argv) > 1:
        staged = stage_module(argv)
    elif kind[:1] not in ("", "-"):
        staged = stage_script(argv)
    if staged is None:
        execute(argv)
    return staged


def execute(argv, anew=False):  # type: (list[str], bool) -> NoReturn
    """Execute the interpreter on these arguments; `anew` if the environment requires it, whatever the arguments are."""
    forget_coercion()
    try:
        posix.execv(sys.executable, [sys.executable, *argv])
    except OSError as error:  # E2BIG: one above 128 KiB, or all together above a quarter of the stack (execve(2))
        reason = str(error.strerror)
    options = count_options(argv)
    if options or anew:
        hand_over(argv[:options], argv[options:])
    posix.write(2, b"snekhouse: these arguments need a new interpreter: " + reason.encode() + b"\n")
    posix._exit(126)


def forget_coercion():  # type: () -> None
    """Remove the interpreter's own LC_CTYPE, so that the next one decides on locale and UTF-8 mode as this one did."""
    global COERCED
    if COERCED:
        posix.unsetenv(b"LC_CTYPE")
        COERCED = False


def count_options(argv):  # type: (list[str]) -> int
    """Count the arguments before -c, -m or a file, as getopt(3) does; 0 if -c or -m is not alone, as in `-Oc`."""
    index = 0
    while index < len(argv) and argv[index][:1] == "-" and argv[index] not in ("-", "--"):
        option = argv[index]
        if option == "--check-hash-based-pycs":
            index += 2
            continue
        place = next((place for place, letter in enumerate(option) if letter in "cmWX"), 0)
        if option[place] in "cm":
            return index if place == 1 else 0
        index += 2 if place == len(option) - 1 else 1  # the next argument is its value
    return index


def hand_over(options, argv):  # type: (list[str], list[str]) -> NoReturn
    """Execute the interpreter with these options, on the bootstrap; leave the rest in a file without a name."""
    rest = "\0".join(argv).encode(sys.getfilesystemencoding(), "surrogateescape")
    file = posix.open("/dev/shm", posix.O_RDWR | posix.O_TMPFILE, 0o600)
    write(file, rest)
    posix.lseek(file, 0, 0)
    posix.set_inheritable(file, True)
    posix.execv(sys.executable, [sys.executable, *options, __file__, str(file)])


def take_over(file):  # type: (int) -> list[bytes]
    """Take the arguments that `hand_over` left."""
    args = posix.read(file, posix.fstat(file).st_size).split(b"\0")
    posix.close(file)
    return args


def stage_code(argv):  # type: (list[str]) -> Staged | None
    """Stage `-c CODE`; None for indented code from Python 3.14 on, which the interpreter dedents."""
    source = argv[1] + "\n"
    if sys.version_info >= (3, 14) and source.lstrip("\r\n\f")[:1].isspace():
        return None
    if HOOKS is not None and any(word in source for word in TELLING):
        return None
    main = set_stage(argv, ["-c", *argv[2:]], "", sys.modules["_frozen_importlib"].BuiltinImporter)
    if sys.version_info >= (3, 13):
        return lambda: (exec, (register_source(compile_quickly(source), source), main))
    # Below 3.10, a coding cookie in the code counts, as it does in bytes.
    code = source if sys.version_info >= (3, 10) else source.encode("utf-8", "surrogateescape")
    return lambda: (exec, (code, main))


class Compiled(Exception):  # noqa: N818 - no error: it stops exec
    """The code is compiled."""


def compile_quickly(source):  # type: (str) -> CodeType
    """Compile as exec does, and stop at the first event of the run, which has the code object.

    compile() first makes all types of the module ast, which takes 0.8 ms. A fork server has done that for its runs.
    """
    if HOOKS is not None:
        return compile(source, "<string>", "exec", 0, True)
    caught, scratch = [], {}  # type: list[CodeType], dict[str, Any]

    def catch(frame, _event, _argument):  # type: (FrameType, str, object) -> None
        if frame.f_globals is scratch:
            caught.append(frame.f_code)
            raise Compiled

    sys.settrace(catch)
    try:
        exec(source, scratch)
    except Compiled:
        pass
    finally:
        sys.settrace(None)
    return caught[0]


def stage_script(argv):  # type: (list[str]) -> Staged | None
    """Stage `FILE` if it is plain source that compiles; None for all else, which the interpreter treats differently."""
    global IS_SCRIPT
    path = argv[0]
    source = read_script(path)
    if source is None or (HOOKS is not None and any(word.encode() in source for word in TELLING)):
        return None
    if sys.version_info >= (3, 9) and path[0] != "/":
        path = posix.getcwd() + "/" + path  # not normalized, like the interpreter's __file__
    program = compile_or_refuse(source, path)
    if program is None:
        return None
    from os.path import dirname, realpath  # site has imported it

    loader = sys.modules["_frozen_importlib_external"].SourceFileLoader("__main__", path)
    main = set_stage(argv, argv, dirname(realpath(path)), loader)
    sys.path_importer_cache[path] = None  # as main.c leaves it, which asks every path hook
    main["__file__"] = path
    if sys.version_info < (3, 15):
        main["__cached__"] = None
    IS_SCRIPT = sys.implementation.name == "cpython"
    return lambda: (exec, (program, main))


def compile_or_refuse(source, path):  # type: (bytes, str) -> CodeType | None
    """Compile a script; None if that fails, and then without warnings: the next interpreter prints them again."""
    stderr, said = sys.stderr, sys.modules["_io"].StringIO()  # type: Any, Any
    sys.stderr = said
    try:
        program = compile(source, path, "exec", 0, True)
    except Exception:
        return None
    finally:
        sys.stderr = stderr
    stderr.write(said.getvalue())
    return program


def read_script(path):  # type: (str) -> bytes | None
    """Read a source file; None for folders, zip files, bytecode and files that cannot be read."""
    try:
        if posix.stat(path).st_mode & S_IFMT != S_IFREG:
            return None
        with open(path, "rb") as file:
            source = file.read()
    except OSError:
        return None
    for hook in sys.path_hooks:
        try:
            hook(path)
            return None
        except ImportError:
            pass
    return None if path.endswith(".pyc") or b"\0" in source else source


def stage_module(argv):  # type: (list[str]) -> Staged
    """Stage `-m MODULE`, which runpy runs in __main__."""
    folder = posix.getcwd() if sys.version_info >= (3, 7) else ""
    set_stage(argv, ["-m", *argv[2:]], folder, sys.modules["_frozen_importlib"].BuiltinImporter)
    return lambda: (__import__("runpy")._run_module_as_main, (argv[1],))


def set_stage(argv, arguments, folder, loader):  # type: (list[str], list[str], str, Any) -> dict[str, Any]
    """Make sys and __main__ what they are when the interpreter starts on these arguments; return the new globals."""
    global MAIN
    sys.argv[:] = arguments
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[sys.orig_argv.index(__file__) :] = argv
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, folder)
    sys.modules["__main__"].__name__ = "bootstrap"
    main = type(sys)("__main__")
    main.__loader__ = loader
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    main.__builtins__ = sys.modules["builtins"]  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    MAIN = id(main)
    return main.__dict__


def register_source(program, source):  # type: (CodeType, str) -> CodeType
    """Let tracebacks show the source of a program, as main.c does for -c from Python 3.13 on; return the program."""
    linecache = __import__("linecache")
    key = program if hasattr(linecache, "_interactive_cache") else "<string>"
    linecache._register_code(key, source, "<string>")
    return program


def end_of(error):  # type: (BaseException) -> int
    """Return the exit code; print an exception first, unless it is a SystemExit.

    Raise again a SystemExit that the interpreter itself must handle.
    """
    if not isinstance(error, SystemExit):
        report_failure(error)
        return 1
    code = 0 if error.code is None else error.code
    if type(code) is str and not IS_SCRIPT:
        complain(code + "\n")  # before the streams are flushed, which a script does earlier
        return 1
    if type(code) is not int or code not in EXIT_CODES:
        raise error
    return code


def report_failure(error):  # type: (BaseException) -> None
    """Print an exception as PyErr_Print does, without the frames of the bootstrap."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals is globals():
        trace = trace.tb_next
    error.__traceback__ = sys.last_traceback = trace
    sys.last_type, sys.last_value = type(error), error
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    hook = getattr(sys, "excepthook", None)
    if hook is None:
        complain("sys.excepthook is missing\n")
        hook = sys.__excepthook__
    try:
        hook(type(error), error, trace)
    except SystemExit:
        raise
    except BaseException as second:
        second.__traceback__ = second.__traceback__.tb_next  # type: ignore[union-attr]  # of the hook, not of this call
        complain("Error in sys.excepthook:\n")
        sys.__excepthook__(type(second), second, second.__traceback__)
        complain("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, trace)
    if type(error) is KeyboardInterrupt or (sys.version_info >= (3, 14) and isinstance(error, KeyboardInterrupt)):
        sys.excepthook = lambda *_: None  # it is printed already; the interpreter still ends as SIGINT ends it
        raise KeyboardInterrupt


def flush(stream):  # type: (Any) -> None
    """Write out what a script has printed, before its exception is handled (pythonrun.c: flush_io)."""
    try:
        stream.flush()
    except Exception:
        return


def complain(text):  # type: (str) -> None
    """Write to sys.stderr, or to its descriptor if the program has broken sys.stderr (PySys_WriteStderr)."""
    try:
        sys.stderr.write(text)
    except Exception:
        posix.write(2, text.encode())


if __name__ == "__main__":
    stage, failure = main(), None  # type: Any, Any
    try:
        run, arguments = stage()
        run(*arguments)  # here, so that only one frame is below the program's
    except BaseException as error:
        failure = error
    finally:
        namespace = arguments[1] if IS_SCRIPT and not isinstance(failure, SystemExit) else None
        stage = run = arguments = None  # hold no objects of the program: the end of the interpreter must free them
    try:
        if IS_SCRIPT and failure is not None:
            flush(getattr(sys, "stderr", None))
            flush(getattr(sys, "stdout", None))
        code = 0 if failure is None else end_of(globals().pop("failure"))
    finally:
        if namespace is not None:
            namespace.pop("__file__", None)
            namespace.pop("__cached__", None)
        namespace = None
    if HOOKS is not None:
        for watchers in HOOKS.watchers:  # without a call: a trace or profile function would see it
            if watchers == (None, None):
                HOOKS.leave(code)
            break
    if code:
        raise SystemExit(code)

"""A session: an interpreter whose state stays from one cell to the next.

The bootstrap executes this file instead of a program. A *state* is a process that waits for the orders of the host.
It forks a copy of itself, or it runs a cell and then is the next state. The host keeps the current state and some
before it, the checkpoints. A copy can also become a branch. docs/protocol.md has the messages. The first process of the
jail runs no cells: it reaps orphans, and exits when no process is left.

Cells can change everything in their process, also the code of this file. So the host trusts nothing that a state
reports. This file is written for Python 3.6 and every later one, CPython or PyPy.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any, NoReturn

    import bootstrap
else:
    import __main__ as bootstrap

_ast = bootstrap.borrow("_ast")  # type: Any
_signal = bootstrap.borrow("_signal")  # type: Any
_socket = bootstrap.borrow("_socket")  # type: Any
_thread = bootstrap.borrow("_thread")  # type: Any
CELL = "<cell "
"""How the file names of cells begin."""
ONLY_AST, AWAIT = 0x400, 0x2000 if sys.version_info >= (3, 8) else 0  # flags of compile: no code; await outside of def
IS_COROUTINE = 0x80  # co_flags
__future__ = bootstrap.borrow("__future__")  # type: Any
FUTURES = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names} - {0x10})  # CO_NESTED
VALUE, EXCEPTION, EXIT = b"V", b"X", b"Q"
"""How a cell ended: with a value or none, with an exception, or by asking the interpreter to end."""
CONTROL = bootstrap.CONTROL
showing = bootstrap.load("showing")


def serve():  # type: () -> NoReturn
    """Become a session: this process reaps, and a child of it is the first state."""
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    if posix.fork() == 0:
        bootstrap.write(CONTROL, b"S")
        State().serve()
    posix.close(CONTROL)
    discard_streams()
    while True:
        try:
            posix.wait()
        except ChildProcessError:
            posix._exit(0)


def discard_streams():  # type: () -> None
    """Redirect the standard streams to /dev/null until the next cell."""
    nowhere = posix.open("/dev/null", posix.O_RDWR)
    for stream in range(3):
        posix.dup2(nowhere, stream)
    posix.close(nowhere)


class State:
    """This process as a state of the session."""

    def __init__(self):  # type: () -> None
        self.namespace = bootstrap.set_stage([], [""], "", sys.modules["_frozen_importlib"].BuiltinImporter)
        self.control = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, CONTROL)
        self.on_interrupt = _signal.default_int_handler  # type: Any
        self.is_interrupted = False
        self.futures = 0
        self.sources = {}  # type: dict[str, str]
        self.stdin = sys.stdin  # type: Any
        self.forked = []  # type: list[int]

    def serve(self):  # type: () -> NoReturn
        """Follow the orders of the host until it closes the socket."""
        while True:
            order, passed = self.control.recvmsg(1, _socket.CMSG_SPACE(12), _socket.MSG_CMSG_CLOEXEC)[:2]
            numbers = b"".join(numbers for _, _, numbers in passed)
            passed = [int.from_bytes(numbers[at : at + 4], sys.byteorder) for at in range(0, len(numbers), 4)]
            if order == b"F":
                self.fork(passed[0])
            elif order == b"C":
                self.run_cell(passed)
            elif order == b"W":
                bootstrap.write(CONTROL, status_of(self.forked.pop()).to_bytes(4, "big"))
            else:
                posix._exit(0)

    def fork(self, control):  # type: (int) -> None
        """Fork a copy of this state. The copy takes its orders from `control`."""
        generator = getattr(sys.modules.get("random"), "_inst", None)  # type: Any  # it gets a new seed in a forked child
        kept = generator and generator.getstate()
        self.forked = [pid for pid in self.forked if not has_ended(pid)]
        try:
            pid = posix.fork()
        except OSError as error:
            tell(control, b"E" + str(error).encode())
            pid = -1
        if pid == 0:
            posix.dup2(control, CONTROL, False)
            if generator:
                generator.setstate(kept)
            if not tell(CONTROL, b"S"):
                posix._exit(0)
            self.forked.clear()
        elif pid > 0:
            self.forked.append(pid)
        posix.close(control)

    def run_cell(self, streams):  # type: (list[int]) -> None
        """Write files, and report on them; then run a cell, if there is one, and report how it ended."""
        for target, passed in enumerate(streams):
            posix.dup2(passed, target)
            posix.close(passed)
        arguments = [bootstrap.receive_field() for _ in range(bootstrap.receive_number())]
        bootstrap.receive_number()  # no variables
        report = bootstrap.receive_files()
        self.is_interrupted = False
        _signal.signal(_signal.SIGINT, self.note_interrupt)  # one may come from the report on
        bootstrap.write(CONTROL, report)
        if report[:1] == b"E" or not arguments:
            _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
            discard_streams()
            return
        source, number, limit, is_last = arguments
        stdin = getattr(sys, "stdin", None)  # type: Any
        if stdin is not None and stdin is self.stdin:
            encoding, errors = stdin.encoding, stdin.errors
            sys.stdin = self.stdin = open(0, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115 - it stays open
        process = posix.getpid()
        name = CELL + number.decode() + ">"
        kind, code, parts = self.outcome_of(source.decode("utf-8", "surrogateescape"), name)
        if is_last == b"1" and kind != EXIT:
            end_program()
        for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
            flush(getattr(sys, name, None))
        if posix.getpid() != process:
            posix._exit(code)  # the cell has forked, and this is the child, whose program ends here
        discard_streams()
        ended = b"D" + kind + code.to_bytes(4, "big") + _thread._count().to_bytes(4, "big")
        bootstrap.write(CONTROL, ended + showing.encoded(parts, int(limit)))

    def note_interrupt(self, *_signal_and_frame):  # type: (object) -> None
        """Remember an interrupt that comes before the code of a cell."""
        self.is_interrupted = True

    def outcome_of(self, source, name):  # type: (str, str) -> tuple[bytes, int, list[tuple[str, bytes]]]
        """Run a cell; return how it ended, the exit code, and parts of the answer."""
        try:
            self.sources[name] = source
            _signal.signal(_signal.SIGINT, self.on_interrupt)
            try:
                if self.is_interrupted:
                    posix.kill(posix.getpid(), _signal.SIGINT)
                value = self.run(source, name)
                return VALUE, 0, [*showing.shown(value), *showing.drawn()]
            finally:
                self.on_interrupt = _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
                self.register_sources()
        except SystemExit as error:
            return EXIT, leave(error), []
        except BaseException as error:
            return EXCEPTION, 1, self.explained(error)

    def run(self, source, name):  # type: (str, str) -> object
        """Run a cell; return the value of the expression at its end, or None."""
        flags = self.futures | AWAIT
        tree = compile(source, name, "exec", flags | ONLY_AST, True)  # type: Any
        codes = []  # type: list[CodeType]
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], _ast.Expr) else None
        codes.append(compile(tree, name, "exec", flags, True))
        self.futures |= codes[0].co_flags & FUTURES
        if last is not None:
            codes.append(compile(_ast.Expression(last.value), name, "eval", flags | self.futures, True))
        if any(code.co_flags & IS_COROUTINE for code in codes):
            value = __import__("asyncio").run(self.run_in_loop(codes))
        else:
            value = None
            for code in codes:
                value = eval(code, self.namespace)
        if value is not None:
            sys.modules["builtins"]._ = value  # type: ignore[attr-defined]  # as sys.displayhook does
        return value

    async def run_in_loop(self, codes):  # type: (list[CodeType]) -> object
        """Run code that awaits outside of functions."""
        value = None
        for code in codes:
            value = eval(code, self.namespace)
            if code.co_flags & IS_COROUTINE:
                value = await value
        return value

    def register_sources(self):  # type: () -> None
        """Let tracebacks and inspect show the source of cells, if linecache is imported."""
        linecache = sys.modules.get("linecache")  # type: Any
        if linecache:
            for name, source in self.sources.items():
                linecache.cache[name] = len(source), None, source.splitlines(True), name
            self.sources.clear()

    def explained(self, error):  # type: (BaseException) -> list[tuple[str, bytes]]
        """Print an exception as the interpreter does, without frames of this file; return its name, text and line."""
        trace = error.__traceback__
        while trace is not None and not trace.tb_frame.f_code.co_filename.startswith(CELL):
            trace = trace.tb_next
        error.__traceback__ = sys.last_traceback = trace
        sys.last_type, sys.last_value = type(error), error
        if sys.version_info >= (3, 12):
            sys.last_exc = error
        traceback = __import__("traceback")
        self.register_sources()
        try:
            if sys.excepthook is sys.__excepthook__:
                traceback.print_exception(type(error), error, trace)
            else:
                sys.excepthook(type(error), error, trace)
        except Exception:
            bootstrap.complain("Error in sys.excepthook\n")
        lines = [place.tb_lineno for place in walk(trace) if place.tb_frame.f_code.co_filename.startswith(CELL)]
        line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else lines[-1] if lines else None
        return [
            ("error.name", type(error).__name__.encode("utf-8", "replace")),
            ("error.value", text_of(error)),
            ("error.line", b"" if line is None else str(line).encode()),
        ]


def tell(control, message):  # type: (int, bytes) -> bool
    """Send a message to the host; return whether it is still there."""
    try:
        posix.write(control, message)
    except OSError:
        return False
    return True


def status_of(pid):  # type: (int) -> int
    """Wait for a child and reap it; return its status, or that of SIGKILL if the program has already reaped it."""
    try:
        return posix.waitpid(pid, 0)[1]
    except ChildProcessError:
        return 9


def has_ended(pid):  # type: (int) -> bool
    """Reap a child if it has ended; return whether it has."""
    try:
        return posix.waitpid(pid, posix.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def walk(trace):  # type: (Any) -> Any
    """List the entries of a traceback."""
    while trace is not None:
        yield trace
        trace = trace.tb_next


def text_of(error):  # type: (BaseException) -> bytes
    """Return the text of an exception, whose own method may fail."""
    try:
        return str(error).encode("utf-8", "replace")
    except Exception:
        return b"<exception str() failed>"


def leave(error):  # type: (SystemExit) -> int
    """Print the message of a SystemExit, and end the program; return the exit code."""
    code = error.code
    if code is not None and not isinstance(code, int):
        bootstrap.complain(str(code) + "\n")
        code = 1
    end_program()
    return (code or 0) & 0xFF


def end_program():  # type: () -> None
    """Wait for threads that are not daemons, and call the callbacks of atexit, as the interpreter does at its end."""
    threading = sys.modules.get("threading")  # type: Any
    try:
        if threading:
            threading._shutdown()
        __import__("atexit")._run_exitfuncs()
    except Exception:
        bootstrap.complain("Error in an exit callback\n")


def flush(stream):  # type: (Any) -> bool
    """Write out what a cell has printed to a stream; return whether that succeeded."""
    try:
        stream.flush()
    except Exception:
        return False  # the program has closed or replaced it
    return True

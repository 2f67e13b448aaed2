import posix
import sys

CONTROL = 3
HOME = b"/home"
FORK_SERVER = "/snekhouse/fork_server.py"
WATCHING = ()  # from a fork server: gives what hears of calls now, if anything; then `leave` is a short way out
AT_START = (b"PYTHON", b"PYPY", b"LANG", b"LC_", b"LD_", b"GLIBC_", b"MALLOC_")
LATER = (b"PYTHON_COLORS", b"PYTHONBREAKPOINT")
"""How variables begin that are read when an interpreter starts, and those of them that are read later."""
COERCED = list(posix.environ)[-1:] == [b"LC_CTYPE"]  # set by the interpreter itself (PEP 538): one given stands before
SET_ASIDE = {}  # modules that a fork server imported for `register_source`, by name


def main():
    """Take one request from the host; return how to run the program that it asks for."""
    forget_bootstrap()
    if sys.argv[1:] == ["fork"]:
        meet_host(await_fork(), 3)
    elif len(sys.argv) > 1:  # these options needed a new interpreter, and this is it
        return become(take_over(int(sys.argv[1])))
    else:
        meet_host(borrow("_socket"), 0)
    return become(*take_request())


def forget_bootstrap():
    """Undo what the interpreter did to the import system for running this file."""
    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]
    sys.path_importer_cache.pop(__file__, None)


def borrow(name):
    """Import a module, and leave no trace of that."""
    had = name in sys.modules
    module = __import__(name)
    if not had:
        del sys.modules[name]
    return module


def await_fork():
    """Be the fork server; return in each run that it forks, with the module _socket."""
    scope = {"__name__": "fork_server"}
    with open(FORK_SERVER) as file:
        exec(file.read(), scope)
    return scope["serve"]()


def meet_host(_socket, streams):
    """Pass the home to the host, take `streams` from it, and join the run's cgroups by the `tasks` files that it passes.

    Descriptors go over the control socket either way (SCM_RIGHTS, unix(7)).
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
        posix._exit(1)  # without its limits nothing runs
    for stream in range(streams):
        posix.dup2(descriptors[stream], stream)
    for tasks in descriptors[streams:]:
        posix.write(tasks, b"0")
    for descriptor in descriptors:
        posix.close(descriptor)


def take_request():
    """Take arguments, variables and files, report, and let go of the host."""
    args = [receive_field() for _ in range(receive_number())]
    variables = [(receive_field(), receive_field()) for _ in range(receive_number())]
    stamps = b""
    for index in range(receive_number()):
        try:
            stamps += receive_file()
        except OSError as error:
            send(b"E" + index.to_bytes(4, "big") + error.errno.to_bytes(4, "big"))
            posix._exit(1)
    send(b"R" + stamps)
    posix.close(CONTROL)
    return args, variables


def send(report):
    while report:
        report = report[posix.write(CONTROL, report) :]


def receive(size):
    chunks = []
    while size:
        chunks.append(posix.read(CONTROL, size))
        if not chunks[-1]:
            posix._exit(1)  # the host is gone
        size -= len(chunks[-1])
    return b"".join(chunks)


def receive_number():
    return int.from_bytes(receive(4), "big")


def receive_field():
    return receive(receive_number())


def receive_file():
    """Write one input file below the home as it streams in; return its stamp (inode, mtime)."""
    path = HOME + b"/" + receive_field()
    left = receive_number()
    try:
        file = create(path)
    except (FileNotFoundError, NotADirectoryError):
        make_folder(path.rpartition(b"/")[0])
        file = create(path)
    posix.fchmod(file, 0o777)
    while left:
        chunk = receive(min(left, 1 << 18))
        left -= len(chunk)
        while chunk:
            chunk = chunk[posix.write(file, chunk) :]
    status = posix.fstat(file)
    posix.close(file)
    return status.st_ino.to_bytes(8, "big") + status.st_mtime_ns.to_bytes(8, "big")


def create(path):
    return posix.open(path, posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC, 0o777)


def make_folder(path):
    try:
        posix.mkdir(path)
    except FileNotFoundError:
        make_folder(path.rpartition(b"/")[0])
        make_folder(path)


def set_variables(variables):
    """Change the environment; tell whether the interpreter has read one of these already."""
    for name, value in variables:
        if name == b"LC_CTYPE":
            forget_coercion()  # else what is given would be forgotten for it
        sys.modules["os"].environb[name] = value
        if name == b"TZ":
            borrow("time").tzset()
    return any(name.startswith(AT_START) and name not in LATER for name, _ in variables)


def become(args, variables=()):
    """Set the stage for `python ARGS`; return how to run it.

    In place where nobody can tell it from the real thing, else by execv, which is always right and only slower.
    """
    encoding = sys.getfilesystemencoding()
    argv = [arg.decode(encoding, "surrogateescape") for arg in args]
    args.clear()  # large ones are held once
    if set_variables(variables):
        execute(argv, True)
    kind = argv[0] if argv else "-"
    run = None
    if kind == "-c" and len(argv) > 1:
        run = stage_code(argv)
    elif kind == "-m" and len(argv) > 1:
        run = stage_module(argv)
    elif kind[:1] not in ("", "-"):
        run = stage_script(argv)
    if run is None:
        execute(argv)
    return run


def execute(argv, anew=False):
    """Become the interpreter on these arguments; `anew` where they do not need that, but the environment does."""
    forget_coercion()
    try:
        posix.execv(sys.executable, [sys.executable] + argv)
    except OSError as error:  # E2BIG: one above 128 KiB, or all together above a quarter of the stack (execve(2))
        reason = error.strerror
    options = count_options(argv)
    if options or anew:
        hand_over(argv[:options], argv[options:])
    posix.write(2, b"snekhouse: these arguments need a new interpreter: " + reason.encode() + b"\n")
    posix._exit(126)


def forget_coercion():
    """Have the next interpreter find the environment that this one was given, to decide on locale and UTF-8 mode."""
    global COERCED
    if COERCED:
        posix.unsetenv(b"LC_CTYPE")
        COERCED = False


def count_options(argv):
    """Count the arguments before -c, -m or a file, as the interpreter does (getopt(3)); 0 when they share one."""
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


def hand_over(options, argv):
    """Become the interpreter with these options, on the bootstrap again; the rest waits in a file without a name."""
    rest = "\0".join(argv).encode(sys.getfilesystemencoding(), "surrogateescape")
    file = posix.open("/dev/shm", posix.O_RDWR | posix.O_TMPFILE, 0o600)
    while rest:
        rest = rest[posix.write(file, rest) :]
    posix.lseek(file, 0, 0)
    posix.set_inheritable(file, True)
    posix.execv(sys.executable, [sys.executable] + options + [__file__, str(file)])


def take_over(file):
    """Take the arguments that the bootstrap before left."""
    args = posix.read(file, posix.fstat(file).st_size).split(b"\0")
    posix.close(file)
    return args


def stage_code(argv):
    """Stage `-c CODE`; from Python 3.14 on, code that is indented is left to the interpreter to dedent."""
    source = argv[1] + "\n"
    if sys.version_info >= (3, 14) and source.lstrip("\r\n\f")[:1].isspace():
        return None
    set_arguments(argv, ["-c"] + argv[2:], "")
    main = new_main(sys.modules["_frozen_importlib"].BuiltinImporter)
    # Below 3.10, a coding cookie in the code counts, as it does in bytes.
    code = source if sys.version_info >= (3, 10) else source.encode("utf-8", "surrogateescape")

    if sys.version_info < (3, 13):
        return lambda: (exec, (code, main))

    def run():
        program = compile_quickly(source)
        register_source(program, source)
        return exec, (program, main)

    return run


class Compiled(Exception):
    pass


def compile_quickly(source):
    """Compile as exec does, and stop at the first event of the run, which has the code object.

    compile() makes all types of the module ast first, which takes 0.8 ms, unless a fork server has done that.
    """
    if SET_ASIDE:
        return compile(source, "<string>", "exec", 0, True)
    caught, scratch = [], {}

    def catch(frame, event, argument):
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


def stage_script(argv):
    """Stage `FILE` when it is plain source that compiles; all else the interpreter treats in ways of its own."""
    path = argv[0]
    source = read_script(path)
    if source is None:
        return None
    if sys.version_info >= (3, 9) and path[0] != "/":
        path = posix.getcwd() + "/" + path  # not normalised, and so is __file__
    try:
        program = compile(source, path, "exec", 0, True)
    except (SyntaxError, ValueError):
        return None
    set_arguments(argv, argv, script_folder(path))
    sys.path_importer_cache[path] = None  # as main.c leaves it after asking every path hook
    main = new_main(sys.modules["_frozen_importlib_external"].SourceFileLoader("__main__", path))
    main["__file__"] = path
    if sys.version_info < (3, 15):
        main["__cached__"] = None
    return lambda: (exec, (program, main))


def read_script(path):
    """Read a source file; None for folders, zip files, bytecode and what cannot be read."""
    try:
        if posix.stat(path).st_mode & 0o170000 != 0o100000:
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


def script_folder(path):
    from os.path import dirname, realpath  # site has imported it already

    return dirname(realpath(path))


def stage_module(argv):
    """Stage `-m MODULE`, which runpy runs in __main__."""
    set_arguments(argv, ["-m"] + argv[2:], posix.getcwd() if sys.version_info >= (3, 7) else "")
    new_main(sys.modules["_frozen_importlib"].BuiltinImporter)

    def run():
        import runpy

        return runpy._run_module_as_main, (argv[1],)

    return run


def set_arguments(argv, arguments, folder):
    """Make sys what it is when the interpreter starts on these arguments."""
    sys.argv[:] = arguments
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[sys.orig_argv.index(__file__) :] = argv
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, folder)


def new_main(loader):
    """Put a new __main__ in the place of the bootstrap; return its dictionary."""
    sys.modules["__main__"].__name__ = "bootstrap"
    main = type(sys)("__main__")
    main.__loader__ = loader
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    main.__builtins__ = sys.modules["builtins"]
    sys.modules["__main__"] = main
    return main.__dict__


def register_source(program, source):
    """Let tracebacks show the source of -c, as main.c does from Python 3.13 on."""
    if SET_ASIDE:
        sys.modules.update(SET_ASIDE)
        is_on_path = any(module.__spec__.origin != "frozen" for module in SET_ASIDE.values())
        if is_on_path and sys.path[0] == "":
            sys.modules["_frozen_importlib_external"].PathFinder._path_importer_cache("")  # as the import would
    import linecache

    key = program if hasattr(linecache, "_interactive_cache") else "<string>"
    linecache._register_code(key, source, "<string>")


def report_failure(error):
    """Print an exception as PyErr_Print does, without the frames of the bootstrap; then end as main.c does."""
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
        second.__traceback__ = second.__traceback__.tb_next
        complain("Error in sys.excepthook:\n")
        sys.__excepthook__(type(second), second, second.__traceback__)
        complain("\nOriginal exception was:\n")
        sys.__excepthook__(type(error), error, trace)
    if type(error) is KeyboardInterrupt or sys.version_info >= (3, 14) and isinstance(error, KeyboardInterrupt):
        sys.excepthook = lambda *_: None  # it has been printed; what SIGINT does comes now
        raise KeyboardInterrupt
    raise SystemExit(1)


def complain(text):
    """Write to sys.stderr, or to the descriptor where the program has broken that (PySys_WriteStderr)."""
    try:
        sys.stderr.write(text)
    except Exception:
        posix.write(2, text.encode())


if __name__ == "__main__":
    stage, failure = main(), None
    try:
        run, arguments = stage()
        run(*arguments)  # here, that there is but one frame below the program's
    except SystemExit:
        raise
    except BaseException as error:
        failure = error
    finally:
        stage = run = arguments = None  # the program's are freed when the interpreter ends: nothing here holds them
    if failure is not None:
        report_failure(globals().pop("failure"))
    for watchers in WATCHING:  # no call, which they would hear
        if watchers == (None, None):
            leave()
        break

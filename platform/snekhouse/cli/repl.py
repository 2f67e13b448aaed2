"""``snekhouse repl``: a prompt for a session, on a server or without one."""

import codeop
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Annotated

import anyio
import anyio.to_thread
import typer
from prompt_toolkit import PromptSession
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from snekhouse.cli.options import DEFAULT_REGISTRY, RegistryOption
from snekhouse.cli.output import print_text, say
from snekhouse.cli.session_client import CellAnswer, SessionClient, local_session, remote_session
from snekhouse.errors import BusyError, RequestError, SnekhouseError
from snekhouse.escaping import escaped
from snekhouse.registry.loading import load
from snekhouse.server import logs

HELP = "%branch: use a copy of the state; %back: undo the last cell; %files: list files; Ctrl-C: interrupt; Ctrl-D: end"

_Read = Callable[[int], Awaitable[str]]
"""Reads a cell, given its number; raises EOFError at the end of input."""


def repl(
    runtime: Annotated[str, typer.Option(help="Name or alias of a runtime; by default the registry's default.")] = "",
    url: Annotated[
        str, typer.Option(is_eager=True, help="URL of a server; by default the session runs without a server.")
    ] = "",
    registry: RegistryOption = DEFAULT_REGISTRY,
) -> None:
    """Run cells in a session, one after the other. The exit code is that of exit() in a cell."""
    logs.set_up_messages()
    logging.getLogger("snekhouse.service").addFilter(lambda record: record.levelno < logging.ERROR)
    session: AbstractAsyncContextManager[SessionClient]
    if url:
        session = remote_session(url, runtime)
    else:
        loaded = load(registry)
        session = local_session(loaded, loaded.resolve(runtime or loaded.default))
    raise typer.Exit(anyio.run(_converse, session))


async def _converse(opening: AbstractAsyncContextManager[SessionClient]) -> int:
    async with opening as session:
        is_terminal = sys.stdin.isatty()
        if is_terminal:
            say(HELP)
        read = _prompted() if is_terminal else _piped()
        files: dict[str, int] = {}
        while True:
            try:
                text = await read(await session.cells() + 1)
            except EOFError:
                return 0
            except KeyboardInterrupt:
                continue  # Ctrl-C at the prompt drops what is typed
            if text.strip().startswith("%"):
                await _command(session, text.strip(), files)
            elif text.strip():
                try:
                    answer = await _run(session, text)
                except BusyError as error:
                    say(f"{error}; the cell has not run")
                    continue
                files.update(answer.files)
                _print(answer)
                if answer.state == "lost":
                    return answer.returncode


async def _command(session: SessionClient, command: str, files: dict[str, int]) -> None:
    """Follow a command of the prompt."""
    try:
        match command:
            case "%branch":
                await session.branch()
                say("you use a branch now; the session before it has ended, and the branch has its files")
            case "%back":
                await session.roll_back()
                cells = await session.cells()
                say(f"the state contains {cells} cell{'s' * (cells != 1)}")
            case "%files":
                print_text("".join(f"{escaped(path)}\t{size}\n" for path, size in sorted(files.items())))
            case _:
                say(f"unknown command {command.split(maxsplit=1)[0]}; {HELP}")
    except (BusyError, RequestError) as error:
        say(str(error))


async def _run(session: SessionClient, code: str) -> CellAnswer:
    """Run a cell; Ctrl-C interrupts it."""
    failure: SnekhouseError | None = None
    answer: CellAnswer | None = None
    async with anyio.create_task_group() as tasks:
        with anyio.open_signal_receiver(signal.SIGINT) as interrupts:

            async def watch(signals: AsyncIterator[signal.Signals]) -> None:
                async for _ in signals:
                    with suppress(SnekhouseError):  # the session has ended, or the server does not answer
                        await session.interrupt()

            tasks.start_soon(watch, interrupts)
            try:
                answer = await session.run(code)
            except SnekhouseError as error:
                failure = error  # raised below, outside the exception group
            tasks.cancel_scope.cancel()
    if failure:
        raise failure
    assert answer  # noqa: S101 - without a failure there is one
    return answer


def _print(answer: CellAnswer) -> None:
    print_text(answer.output)
    if answer.value:
        print_text(f"{answer.value}\n")
    if answer.message:
        say(answer.message)
    if answer.state == "rolled_back":
        say("the cell is undone: the session went back to an earlier state")


def is_complete(text: str) -> bool:
    """Return whether a text is a whole cell. If it is, Enter runs it. Otherwise Enter begins another line.

    A block ends with an empty line, as at Python's own prompt. This Python judges the syntax, so what only another
    version understands counts as complete.
    """
    *before, last = text.split("\n")
    if before and last[:1].isspace() and last.strip():
        return False
    try:
        return codeop.compile_command(text, symbol="exec") is not None
    except (SyntaxError, ValueError, OverflowError):
        return True


def _prompted() -> _Read:
    """Read from the terminal, with history."""
    keys = KeyBindings()

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if is_complete(buffer.text):
            buffer.validate_and_handle()
        else:
            buffer.newline()

    prompts: PromptSession[str] = PromptSession(history=_history(), key_bindings=keys, multiline=True)

    async def read(number: int) -> str:
        margin = f"[{number}] "
        return str(await prompts.prompt_async(margin, prompt_continuation=" " * len(margin)))

    return read


def _history() -> History:
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "snekhouse"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "repl-history").open("a").close()  # may it be written?
        return FileHistory(folder / "repl-history")
    return InMemoryHistory()


def _piped() -> _Read:
    """Read statements from standard input."""

    async def read(_number: int) -> str:
        text = ""
        while line := str(await anyio.to_thread.run_sync(sys.stdin.readline)):
            text += line
            if (text == line and line.startswith("%")) or (is_complete(text) and not _may_go_on(text)):
                return text
        if text:
            return text
        raise EOFError

    return read


def _may_go_on(text: str) -> bool:
    """Return whether the next line may belong to this statement: a block ends with an empty line."""
    lines = text.rstrip("\n").split("\n")
    return not text.endswith("\n\n") and (len(lines) > 1 and lines[-1][:1].isspace())

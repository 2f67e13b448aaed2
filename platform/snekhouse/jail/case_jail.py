"""Cases that start from the state of a setup: each is a copy of the process that has run the setup.

All cases of such a jail share its namespaces and folders. So the jail is used again only as long as nothing can be left
of a case: no process, no file, no other content of one, no changed attribute of a process that stays, and no process id
that was used up. Otherwise the caller opens another one, in which the setup runs again.
"""

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from snekhouse.errors import JailError
from snekhouse.evaluation import NOBODY, Job, Observer, Result, Status
from snekhouse.host.process_marks import descriptors, handles_signals, marks, shares_memory
from snekhouse.host.processes import proc_text
from snekhouse.jail.cell import StateOutcome, run_cell
from snekhouse.jail.folder_contents import FolderContents, contents_of
from snekhouse.jail.generation import ANSWER_TIMEOUT_S
from snekhouse.jail.home_walk import FilesError, HomeWalk, unless_dead_end
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.protocol import Refusal, Stamp
from snekhouse.jail.session import SessionJail, opened_session
from snekhouse.jail.session_state import SessionState
from snekhouse.jail.start import Start
from snekhouse.profile.tmpfs import writable

_OWN_DESCRIPTORS = {0, 1, 2, 3}
"""Descriptors of a state: standard streams, which lead to /dev/null, and its control socket."""

_INLINE = 1 << 18
"""Bytes of files that are read on the event loop."""

_LOOKS, _PAUSE_S = 30, 0.002
"""How many times to check that the killed processes have ended, and seconds between two checks."""


class SetupError(JailError):
    """The setup failed; the text says why."""


@dataclass
class CaseJail:
    """A jail with the state of a setup, from which cases start.

    Attributes:
        jail: The jail.
        state: The state.
        folders: Descriptors of the folders that programs may write to.
        can_fork: Whether several cases can start from the state. They could see each other if the setup left threads,
            processes, open files or sockets, shared memory, or handlers of signals, or if the runtime has loopback.
        is_clean: Whether another case may start here.
    """

    jail: SessionJail
    state: SessionState
    folders: tuple[int, ...]
    can_fork: bool = False
    is_clean: bool = True
    _marks: tuple[object, ...] = ()
    _contents: FolderContents | None = None
    _copy: SessionState | None = None

    async def note(self) -> None:
        """Record what the jail contains before the first case."""
        pid = self.state.pid
        self.can_fork = (
            not self.jail.prepared.runtime.loopback  # sockets of a case would stay in TIME_WAIT
            and not self.state.threads
            and await self._has_only_the_state()
            and descriptors(pid) <= _OWN_DESCRIPTORS
            and not handles_signals(pid)
            and not shares_memory(pid)
        )
        await anyio.to_thread.run_sync(_note_files, self.jail)
        if self.can_fork:
            self._marks = self._marked()
            self._contents = await anyio.to_thread.run_sync(contents_of, self.folders)

    async def run(self, case: Job, observer: Observer = NOBODY) -> Result:
        """Run a case: its program is the last argument.

        Raises:
            SessionLostError: Its processes cannot be killed.
            OSError: The host is out of descriptors or memory.
        """
        self.is_clean = False
        cell, copy = replace(case, args=case.args[-1:]), self._copy
        self._copy = None
        found, current = await run_cell(self.jail, self.state, None, cell, observer, copy=copy, is_last=True)
        if current is not self.state:
            await self.jail.kill(current)
        return found.result

    async def prepare(self) -> None:
        """If nothing is left of the last case, make the copy that runs the next one."""
        if not self.can_fork or self._contents is None or self.state.process < 0:
            return
        before = self.jail.last_fork
        is_alone = await self._has_only_the_state()
        if not is_alone or self._marked() != self._marks or await self._found() != self._contents:
            return
        try:
            self._copy = await self.jail.fork(self.state)
        except JailError:
            return
        self.is_clean = self.jail.last_fork == before + 1  # the case has used no other id

    def close(self) -> None:
        """Kill the copy that was made ahead."""
        if self._copy:
            self._copy.close()

    async def _has_only_the_state(self) -> bool:
        """Return whether no other process is left, once those that were killed have had time to end."""
        for _ in range(_LOOKS):
            if set(self.jail.group.processes()) == {self.jail.processes.first, self.state.pid}:
                return True
            await anyio.sleep(_PAUSE_S)
        return False

    def _marked(self) -> tuple[object, ...]:
        return marks(self.jail.processes.first) + marks(self.state.pid)

    async def _found(self) -> FolderContents | None:
        most = self._contents.size if self._contents else 0
        if most <= _INLINE:
            return contents_of(self.folders, most)
        return await anyio.to_thread.run_sync(contents_of, self.folders, most)


def _note_files(jail: SessionJail) -> None:
    """Note the files of the setup, which cases return only if they change them.

    Read a byte of each, because the first access changes the time of the last access (relatime, mount(8)).
    """
    walk = HomeWalk(jail.home, jail.prepared.runtime.files.timeout)
    with suppress(FilesError):
        for entry in walk.entries():
            walk.check_time()
            with walk.opened(entry) as target:
                if target is not None:
                    status = os.fstat(target)
                    jail.known.note(entry.text, Stamp(status.st_ino, status.st_mtime_ns))
                    unless_dead_end(partial(_read_byte, target))


def _read_byte(target: int) -> None:
    with Path(f"/proc/self/fd/{target}").open("rb", buffering=0) as file:
        file.read(1)


@asynccontextmanager
async def opened_case_jail(prepared: PreparedRuntime, setup: Job, start: Start) -> AsyncIterator[CaseJail]:
    """Open a jail, run a setup in it, and end the jail on leaving.

    Args:
        prepared: The runtime.
        setup: The code as the last argument, its files, variables and limits.
        start: How the first process of the jail starts.

    Raises:
        SetupError: The setup failed.
        RequestError: `limits.memory` is too small for a session.
        BusyError: This host cannot limit sessions.
        ForkServerError: The fork server failed.
        JailError: The jail did not start.
        OSError: The host is out of processes, descriptors or memory.
    """
    async with opened_session(prepared, replace(setup, args=()), start, checkpoints=1) as jail:
        if isinstance(jail, Refusal):
            raise SetupError(jail.explained(setup.files[jail.index].path)[1])
        with closing(await jail.first_state()) as first, ExitStack() as held:
            found, state = await run_cell(jail, first, None, replace(setup, args=setup.args[-1:], files=()))
            held.enter_context(closing(state))
            result = found.result
            if result.status is not Status.OK:
                raise SetupError(f"the setup failed ({result.status.value}): {_reason(result)}")
            if found.outcome is not StateOutcome.KEPT:
                raise SetupError(_ENDED)
            first.close()
            await _reaped(first.pid)
            try:
                cases = CaseJail(jail, state, _folders(state, held, prepared))
                await cases.note()
            except (FileNotFoundError, ProcessLookupError, PermissionError) as error:
                raise SetupError(_ENDED) from error
            with closing(cases):
                yield cases


_ENDED = "the setup ended its interpreter; do not call exit() in it"


async def _reaped(pid: int) -> None:
    """Wait until a process that was killed is reaped, so that no program sees it.

    Raises:
        JailError: It is not reaped.
    """
    try:
        with anyio.fail_after(ANSWER_TIMEOUT_S):
            while proc_text(f"/proc/{pid}/stat"):  # noqa: ASYNC110 - what it waits for happens in another process
                await anyio.sleep(_PAUSE_S)
    except TimeoutError as error:
        raise JailError("the jail does not reap processes") from error


def _folders(state: SessionState, held: ExitStack, prepared: PreparedRuntime) -> tuple[int, ...]:
    """Open the folders that programs may write to."""
    folders = []
    for place in writable(prepared.runtime):
        folders.append(os.open(f"/proc/{state.pid}/root{place.target}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        held.callback(os.close, folders[-1])
    return tuple(folders)


def _reason(result: Result) -> str:
    if result.error:
        return f"{result.error.name}: {result.error.value}"
    return result.message or f"exit code {result.returncode}"

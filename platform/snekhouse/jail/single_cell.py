"""An evaluation that returns the value of the expression at its end: the only cell of a session of its own."""

from contextlib import closing
from dataclasses import replace

from snekhouse.errors import JailError
from snekhouse.evaluation import NOBODY, Job, Observer, Result, Status
from snekhouse.jail.cell import run_cell
from snekhouse.jail.generation import ForkServerError
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.protocol import Refusal
from snekhouse.jail.session import SessionJail, opened_session, require_memory
from snekhouse.jail.session_state import SessionLostError
from snekhouse.jail.start import Start
from snekhouse.jail.verdict import JAIL_FAILED


async def run_single_cell(prepared: PreparedRuntime, job: Job, start: Start, observer: Observer = NOBODY) -> Result:
    """Evaluate the last argument of a job as a cell.

    Args:
        prepared: The runtime.
        job: What to evaluate.
        start: How its guest starts.
        observer: Follows the evaluation.

    Raises:
        ForkServerError: The fork server failed; the result of the program is lost.
        BusyError: This host cannot limit sessions.
        RequestError: The limit of memory is too low for a session.
        OSError: The host is out of processes, descriptors or memory.
    """
    try:
        async with opened_session(prepared, replace(job, args=()), start, checkpoints=0) as jail:
            if isinstance(jail, Refusal):
                text, message = jail.explained(job.files[jail.index].path)
                return Result(Status.FILE_ERROR, None, text, message=message)
            return await _run(jail, replace(job, args=job.args[-1:], files=()), observer)
    except ForkServerError:
        raise
    except JailError as error:
        return Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=str(error))


async def _run(jail: SessionJail, cell: Job, observer: Observer) -> Result:
    try:
        state = await jail.first_state()
    except SessionLostError:
        require_memory(jail.group, cell.limits)
        raise
    with closing(state):
        found, current = await run_cell(jail, state, None, cell, observer, is_last=True)
        current.close()
    return found.result

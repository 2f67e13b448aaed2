"""The choice of how an evaluation starts: forked if the runtime's fork server is up, otherwise cold."""

import logging
from dataclasses import dataclass, replace

from snekhouse.evaluation import NOBODY, Controls, Job, Observer, Result, Status
from snekhouse.jail.cold import ColdStart
from snekhouse.jail.fork import ForkStart
from snekhouse.jail.generation import ForkServerError
from snekhouse.jail.prepared import PreparedRuntime
from snekhouse.jail.run import run
from snekhouse.jail.single_cell import run_single_cell
from snekhouse.jail.verdict import JAIL_FAILED
from snekhouse.service.imports import imports_of
from snekhouse.service.supervisor import ForkServerSupervisor

_log = logging.getLogger(__package__)


@dataclass(frozen=True, slots=True)
class Starter:
    """Starts the evaluations of one runtime.

    Attributes:
        cold: Starts evaluations while no fork server is up.
        supervisor: Keeps the fork server up; None where all evaluations start cold.
    """

    cold: ColdStart
    supervisor: ForkServerSupervisor | None = None

    async def run(self, prepared: PreparedRuntime, job: Job, observer: Observer = NOBODY) -> Result:
        """Evaluate a job; run it again, cold, if the fork server fails.

        The lost run changed nothing outside its jail, except in writable mounts.

        Args:
            prepared: The runtime as the registry has it now.
            job: What to evaluate.
            observer: Follows the evaluation. If it was given output or controls, the job is not run again.

        Raises:
            OSError: The host is out of processes, descriptors or memory.
            BusyError: The job wants a value, and this host cannot limit sessions.
            RequestError: The job wants a value, and has too little memory for that.
        """
        evaluate = run_single_cell if job.wants_value else run
        has_begun = False

        async def note(stream: str, content: bytes) -> None:
            nonlocal has_begun
            has_begun = True
            assert observer.printed  # noqa: S101 - see below
            await observer.printed(stream, content)

        def note_control(controls: Controls) -> None:
            nonlocal has_begun
            has_begun = True
            assert observer.controlled  # noqa: S101 - see below
            observer.controlled(controls)

        followed = replace(
            observer,
            printed=note if observer.printed else None,
            controlled=note_control if observer.controlled else None,
        )
        if self.supervisor and (generation := self.supervisor.generation_for(imports_of(job))):
            try:
                return await evaluate(prepared, job, ForkStart(generation), followed)
            except ForkServerError as error:
                if has_begun:
                    return Result(Status.INTERNAL_ERROR, JAIL_FAILED, message=str(error))
                _log.warning("runtime %s: an evaluation starts cold: %s", prepared.runtime.name, error)
        return await evaluate(prepared, job, self.cold, observer)

"""Forks of a fork server, and the resources that they hold."""

from contextlib import ExitStack
from dataclasses import dataclass, field

import anyio

from snekhouse.host.cgroups import RunGroup
from snekhouse.jail.channel import Channel
from snekhouse.jail.start import GuestExit


@dataclass(slots=True)
class Fork:
    """A process that a fork server forked: the guest of an evaluation, or another generation.

    Attributes:
        number: Its number in orders and reports.
        channel: The channel to it.
        group: The cgroup with the runtime's limits that a guest joins after its hello; None for a
            generation, and on a host without cgroups.
        held: Releases its resources.
        ended: Set once it has ended, or is lost with the fork server.
        exit: How it ended; None while it runs, and if it is lost.
    """

    number: int
    channel: Channel
    group: RunGroup | None
    held: ExitStack
    ended: anyio.Event = field(default_factory=anyio.Event)
    exit: GuestExit | None = None


class LostForks:
    """The resources of forks that are lost with their fork server: they are in use until its processes are gone."""

    def __init__(self) -> None:
        self._held = ExitStack()
        self._are_gone = False

    def add(self, held: ExitStack) -> None:
        """Release the resources of a fork when the processes are gone; at once if they are."""
        if self._are_gone:
            held.close()
        else:
            self._held.enter_context(held)

    def close(self) -> None:
        """Release all of them, since the processes are gone."""
        self._are_gone = True
        self._held.close()

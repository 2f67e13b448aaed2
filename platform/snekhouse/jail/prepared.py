"""Runtimes that are prepared for runs."""

from dataclasses import dataclass
from pathlib import Path

from snekhouse.registry.models import Runtime


@dataclass(frozen=True, slots=True)
class PreparedRuntime:
    """A runtime that is prepared for runs.

    Attributes:
        runtime: The runtime, as the registry has it.
        profile: Its rendered NsJail configuration.
        bootstrap: The bootstrap that it mounts: source or bytecode.
        nsjail: The NsJail binary.
        fork_server_profile: The rendered NsJail configuration of its fork servers.
        policy: The filter that their forks install (``struct sock_filter[]``).
    """

    runtime: Runtime
    profile: Path
    bootstrap: Path
    nsjail: Path
    fork_server_profile: Path
    policy: bytes

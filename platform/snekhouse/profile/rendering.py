"""A runtime's profile: its NsJail configuration in protobuf text format."""

import math
import resource
from collections.abc import Sequence
from pathlib import Path

import jinja2

from snekhouse.assets import templates
from snekhouse.host.identity import Identity
from snekhouse.host.ids import NOBODY
from snekhouse.profile.kafel import render_policy
from snekhouse.profile.tmpfs import writable
from snekhouse.registry.models import HOME, Runtime
from snekhouse.registry.user_base import seen

BOOTSTRAP_INSIDE = "/snekhouse/bootstrap.py"
"""Path of the bootstrap in a jail; its bytecode has the suffix ``.pyc``."""

START_TIMEOUT_S = 15.0
"""Seconds for the bootstrap to say hello, and as many again to write the files; enough for a loaded host."""

_MIB = 1 << 20


def render_profile(
    runtime: Runtime,
    *,
    identity: Identity,
    bootstrap: Path,
    limited: frozenset[str],
    fork_server: Sequence[Path] = (),
    session: Sequence[Path] = (),
    network: bool = False,
    ids: int = 1,
) -> str:
    """Render the profile of a runtime.

    Args:
        runtime: The runtime.
        identity: The ids that jails of the runtime map besides the run's own.
        bootstrap: The host's path of the bootstrap.
        limited: Which of ``memory``, ``pids`` and ``cpu`` cgroups limit.
        fork_server: The host's paths of the fork server's files for the profile of a fork server; none for one run.
        session: The host's paths of the files of sessions; none if the jail runs no sessions.
        ids: How many user and group ids its runs may have inside, from `NOBODY` on.
        network: Whether the jail shares the network of the host, to install packages; jails of evaluations never do.

    Returns:
        An `NsJailConfig` in protobuf text format, with comments.

    Raises:
        HostError: There is no seccomp policy for this machine.
    """
    beside = [(str(path), str(Path(BOOTSTRAP_INSIDE).with_name(path.name))) for path in (*fork_server, *session)]
    return (
        templates("nsjail", finalize=quote)
        .get_template("profile.cfg.jinja")
        .render(
            runtime=runtime,
            limits=runtime.limits,
            mounts=seen(runtime),
            identity=identity,
            own=[(str(bootstrap), bootstrap_inside(bootstrap)), *beside],
            accounts=_accounts(runtime, ids),
            writable=writable(runtime),
            pids_limited="pids" in limited,
            open_files=max(runtime.limits.open_files, _fork_server_descriptors() if fork_server else 0),
            fork_server=bool(fork_server),
            network=network,
            policy=_policy(runtime, limited, is_fork_server=bool(fork_server)),
            backstop=math.ceil(runtime.limits.wall_time + START_TIMEOUT_S),
            MIB=_MIB,
        )
    )


def _policy(runtime: Runtime, limited: frozenset[str], *, is_fork_server: bool) -> list[str]:
    text = render_policy(memory_limited="memory" in limited, fork_server=is_fork_server, loopback=runtime.loopback)
    return text.splitlines()


def most_forks() -> int:
    """Return how many forks of a fork server there may be at once: it needs a descriptor for each."""
    return _fork_server_descriptors() - _OWN_DESCRIPTORS


def _fork_server_descriptors() -> int:
    """Return how many descriptors a fork server may open; runs have `limits.open_files`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, _DESCRIPTORS)


_DESCRIPTORS = 4096
_OWN_DESCRIPTORS = 64
"""Descriptors that a fork server uses for other things than forks: files of its modules, generations."""


def _accounts(runtime: Runtime, ids: int) -> list[tuple[str, str]]:
    """Write the files of users and groups, unless the runtime mounts them (passwd(5), group(5)).

    Each forked run has another id inside. All these ids have the name nobody, which programs look up.
    """
    users = range(NOBODY, NOBODY + ids)
    files = {
        "/etc/passwd": "".join(f"nobody:x:{user}:{user}:nobody:{HOME}:/bin/false\n" for user in users),
        "/etc/group": "".join(f"nobody:x:{user}:\n" for user in users),
    }
    return [(content, path) for path, content in files.items() if not runtime.targets & {path, "/etc"}]


def bootstrap_inside(bootstrap: Path) -> str:
    """Return the path of the bootstrap in a jail: that of its source, or of its bytecode."""
    return str(Path(BOOTSTRAP_INSIDE).with_suffix(bootstrap.suffix))


def quote(value: object) -> str:
    """Write a value in protobuf text format, so that no content can end the value.

    Source: https://protobuf.dev/reference/protobuf/textformat-spec/#string

    Raises:
        TypeError: A profile cannot hold such a value.
    """
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(int(value))
        case str():
            return '"' + "".join(map(_quote_byte, value.encode())) + '"'
        case jinja2.Undefined():
            return str(value)  # StrictUndefined raises here, and names the variable
        case _:
            raise TypeError(f"a profile cannot hold {value!r}")


_PLAIN = frozenset(range(0x20, 0x7F)) - frozenset(b"\"\\'")
"""Bytes that need no escape in a quoted string: printable ASCII except quotes and the backslash."""


def _quote_byte(byte: int) -> str:
    return chr(byte) if byte in _PLAIN else f"\\{byte:03o}"

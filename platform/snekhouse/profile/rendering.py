"""A runtime's wall, rendered as an NsJail configuration in protobuf text format."""

import math
from functools import lru_cache
from pathlib import Path

import jinja2

from snekhouse.assets import asset
from snekhouse.host.identity import Identity
from snekhouse.host.ids import NOBODY
from snekhouse.profile.kafel import render_policy
from snekhouse.profile.tmpfs import writable
from snekhouse.registry.models import HOME, Runtime
from snekhouse.registry.user_base import seen

BOOTSTRAP_INSIDE = "/snekhouse/bootstrap.py"
"""Where the bootstrap lies in a jail; its bytecode beside it, with one letter more."""

_FORK_SERVER_INSIDE = "/snekhouse/fork_server.py"
"""Also named in runtimes/bootstrap.py."""

START_TIMEOUT = 15.0
"""Seconds that NsJail and the interpreter may take until the bootstrap says hello, on a loaded host."""

_MIB = 1 << 20


def render_profile(
    runtime: Runtime,
    *,
    identity: Identity,
    bootstrap: Path,
    limited: frozenset[str],
    fork_server: Path | None = None,
    network: bool = False,
    ids: int = 1,
) -> str:
    """Render the profile of a runtime.

    Args:
        runtime: What the registry says of it.
        identity: What it maps besides the run's own id.
        bootstrap: The host's path of the bootstrap.
        limited: What cgroups limit, of ``memory``, ``pids`` and ``cpu``; something else stands in for the rest.
        fork_server: The host's path of `runtimes/fork_server.py` for the profile of a fork server; None for one run.
        ids: How many user and group ids its runs may have inside, from that of nobody on.
        network: Whether it shares the network of the host, to install packages; no evaluation does.

    Returns:
        An `NsJailConfig` in protobuf text format, with comments.

    Raises:
        HostError: No seccomp policy is written for this machine.
    """
    own = [(str(bootstrap), bootstrap_inside(bootstrap))]
    if fork_server:
        own.append((str(fork_server), _FORK_SERVER_INSIDE))
    return (
        _environment()
        .get_template("profile.cfg.jinja")
        .render(
            runtime=runtime,
            limits=runtime.limits,
            mounts=seen(runtime),
            identity=identity,
            own=own,
            accounts=_accounts(runtime, ids),
            writable=writable(runtime),
            pids_limited="pids" in limited,
            fork_server=fork_server is not None,
            network=network,
            policy=render_policy(
                memory_limited="memory" in limited, fork_server=fork_server is not None, loopback=runtime.loopback
            ).splitlines(),
            backstop=math.ceil(runtime.limits.wall_time + START_TIMEOUT),
            MIB=_MIB,
        )
    )


def _accounts(runtime: Runtime, ids: int) -> list[tuple[str, str]]:
    """Write the files of users and groups, unless the runtime mounts its own (passwd(5), group(5)).

    Forked runs have ids of their own inside, and each is nobody: programs look up who they are by their id.
    """
    users = range(NOBODY, NOBODY + ids)
    files = {
        "/etc/passwd": "".join(f"nobody:x:{user}:{user}:nobody:{HOME}:/bin/false\n" for user in users),
        "/etc/group": "".join(f"nobody:x:{user}:\n" for user in users),
    }
    return [(content, path) for path, content in files.items() if not runtime.targets & {path, "/etc"}]


def bootstrap_inside(bootstrap: Path) -> str:
    """Name the path in a jail of the bootstrap: of its source, or of the bytecode that was made of it."""
    return str(Path(BOOTSTRAP_INSIDE).with_suffix(bootstrap.suffix))


def quote(value: object) -> str:
    """Write a value as protobuf text format, so that it is one value whatever it contains.

    Source: https://protobuf.dev/reference/protobuf/textformat-spec/#string

    Raises:
        TypeError: The format, or this template, has no use for such a value.
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
"""Bytes that stand for themselves in a quoted string: printable ASCII, but for quotes and the backslash."""


def _quote_byte(byte: int) -> str:
    return chr(byte) if byte in _PLAIN else f"\\{byte:03o}"


@lru_cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(asset("templates/nsjail")),
        undefined=jinja2.StrictUndefined,
        finalize=quote,
        autoescape=False,  # noqa: S701 - HTML has no part in this: `quote` is the escaping
        keep_trailing_newline=True,
    )

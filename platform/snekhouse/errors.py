"""Every error that snekhouse raises, one tree.

::

    SnekhouseError
    ├── RegistryError         the registry cannot be used; holds every Problem found
    ├── RuntimeUnknownError   a name that the registry does not list
    ├── UsageError            an option, an address or an environment variable that cannot be used as given
    ├── RemoteError           another server refused a command's request, or its answer cannot be used
    ├── InterpreterError      no interpreter was found, or one cannot serve
    ├── HostError             this host lacks something a jail needs (NsJail, namespaces, cgroups)
    ├── JailError             a jail did not start, or broke its protocol; our failure, not the program's
    │   ├── RefusedError      a process cannot be forked or sealed, or a state not copied (jail.channel)
    │   ├── SessionLostError  a session has no state any more (jail.session)
    │   ├── SetupError        the setup of cases failed (jail.case_jail)
    │   └── ForkServerError   a fork server failed (jail.generation)
    │       └── UnfitModuleError  a module cannot be set aside (jail.generation)
    ├── OutputLimitError      a program printed too much (jail.streams); `run` turns it into a status
    ├── FilesError            files cannot be returned or listed (jail.home_walk); `run` turns it into a status
    ├── PackagesError         third-party packages could not be installed, removed or listed
    ├── RequestError          a request that cannot be evaluated as sent
    │   └── OutlineError      a body that is not JSON, or is too large even without long strings (web.json_outline)
    ├── SessionUnknownError   a session that does not exist
    ├── FileUnknownError      a file that does not exist in the home of a session (jail.session_files)
    ├── SessionGoneError      a session that has ended; the text says why
    └── BusyError             the queue is full, a resource is used up, the runtime is unavailable, or the server stops

A failure of a guest program is a value, `Result.status`, and not an exception, except for `SessionLostError` and
`SetupError`.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class SnekhouseError(Exception):
    """The root of the tree. The text is a message for the person who can act on it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a registry.

    Attributes:
        source: The file, as the person named it.
        key: The dotted key, e.g. ``runtimes."3.12".limits.memory``; empty for the file as a whole.
        message: What is wrong.
        remedy: How to correct it; may be empty.
    """

    source: str
    key: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        """Return ``file: key: message; remedy``."""
        where = f"{self.source}: {self.key}" if self.key else self.source
        return f"{where}: {self.message}" + (f"; {self.remedy}" if self.remedy else "")


class RegistryError(SnekhouseError):
    """The registry cannot be used.

    Attributes:
        problems: Every problem found, in the order of the file if that is known; never empty.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


_MAX_NAME_LENGTH = 100
"""Characters of an unknown name that a message repeats."""


class RuntimeUnknownError(SnekhouseError):
    """The registry lists no runtime by that name.

    Args:
        name: The unknown name.
        known: The names and aliases of the registry.
    """

    def __init__(self, name: str, known: Sequence[str]) -> None:
        shown = name if len(name) <= _MAX_NAME_LENGTH else name[:_MAX_NAME_LENGTH] + "..."
        super().__init__(f"there is no runtime {shown!r}; known: {', '.join(known)}")


class UsageError(SnekhouseError):
    """An option, an address or an environment variable cannot be used as it is given."""


class RemoteError(SnekhouseError):
    """Another server refused a command's request, or its answer cannot be used."""


class InterpreterError(SnekhouseError):
    """No interpreter was found, or one cannot serve."""


class HostError(SnekhouseError):
    """This host lacks something that a jail needs; the text names the remedy."""


class JailError(SnekhouseError):
    """A jail did not start, or broke the guest protocol before the program started."""


class PackagesError(SnekhouseError):
    """Third-party packages could not be installed, removed or listed."""


class RequestError(SnekhouseError):
    """A request that cannot be evaluated as it was sent.

    Attributes:
        title: The kind of error, in a few words; empty for the phrase of the HTTP status.
    """

    def __init__(self, message: str, *, title: str = "") -> None:
        self.title = title
        super().__init__(message)


class SessionUnknownError(SnekhouseError):
    """There is no session with that name."""


class SessionGoneError(SnekhouseError):
    """The session has ended; the text says why."""


class BusyError(SnekhouseError):
    """The server cannot take another evaluation now.

    Attributes:
        retry_after: Seconds after which the client may try again.
    """

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(message)

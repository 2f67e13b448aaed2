"""Every error that snekhouse raises, one tree.

::

    SnekhouseError
    ├── RegistryError         the registry cannot be used; holds every Problem found
    ├── RuntimeUnknownError   a name that the registry does not list
    ├── UsageError            an option, an address or an environment variable that cannot be used as given
    ├── RemoteError           a server that a command asks refuses, or does not answer
    ├── InterpreterError      no interpreter was found, or one cannot serve
    ├── HostError             this host lacks something a jail needs (NsJail, namespaces, cgroups)
    ├── JailError             a jail did not come up, or broke its protocol; our failure, not the program's
    │   └── ForkServerError   a fork server failed (jail.fork_server)
    ├── OutputLimitError      a program printed too much (jail.output); never leaves a run
    ├── FilesError            the files of a run cannot be returned (jail.home); never leaves a run
    ├── PackagesError         third-party packages could not be installed, removed or listed
    ├── RequestError          a request that cannot be evaluated as sent
    │   └── OutlineError      a body that cannot be taken apart (web.json_outline)
    └── BusyError             every place and every seat in the queue is taken, or the server is draining

What a guest program does wrong is never an exception: it is a value, `Result.status`.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class SnekhouseError(Exception):
    """The root of the tree. Its text is a sentence for the person who can act on it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a registry.

    Attributes:
        source: The file, as the person named it.
        key: The dotted key, e.g. ``runtimes."3.12".limits.memory``; empty for the file as a whole.
        message: What is wrong.
        remedy: What to do about it.
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
        problems: All that was found, in the order of the file where that is known; never empty.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


_SHOWN = 100
"""Characters of an unknown name that a message repeats."""


class RuntimeUnknownError(SnekhouseError):
    """The registry lists no runtime by that name.

    Args:
        name: What was asked for.
        known: The names and aliases that exist.
    """

    def __init__(self, name: str, known: Sequence[str]) -> None:
        shown = name if len(name) <= _SHOWN else name[:_SHOWN] + "..."
        super().__init__(f"there is no runtime {shown!r}; there are: {', '.join(known)}")


class UsageError(SnekhouseError):
    """An option, an address or an environment variable cannot be used as it is given."""


class RemoteError(SnekhouseError):
    """A server that a command asks refuses, or does not answer as it should."""


class InterpreterError(SnekhouseError):
    """No interpreter was found, or one cannot serve."""


class HostError(SnekhouseError):
    """This host lacks something that a jail needs; the text names the remedy."""


class JailError(SnekhouseError):
    """A jail did not come up, or did not keep to the guest protocol before the program started."""


class PackagesError(SnekhouseError):
    """Third-party packages could not be installed, removed or listed."""


class RequestError(SnekhouseError):
    """A request that cannot be evaluated as it was sent.

    Attributes:
        title: The kind of error, in a few words; empty where there is only the text.
    """

    def __init__(self, message: str, *, title: str = "") -> None:
        self.title = title
        super().__init__(message)


class BusyError(SnekhouseError):
    """There is no room for one more evaluation now.

    Attributes:
        retry_after: Seconds after which to try again.
    """

    def __init__(self, message: str, *, retry_after: int = 1) -> None:
        self.retry_after = retry_after
        super().__init__(message)

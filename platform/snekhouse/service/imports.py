"""The modules that a program probably imports, judged by its text."""

import re
from collections.abc import Iterator
from itertools import chain, islice

from snekhouse.evaluation import Job

_SEARCHED_SIZE = 1 << 16
"""How many characters or bytes of a job are searched: some have megabytes, and this is on the event loop."""

_MAX_NAMES = 1000
"""How many names count."""

_MAX_NAME_LENGTH = 1000
"""Characters of the name of a module that is run."""

_SEARCHED_FOR_NAMES = 1 << 13
"""How many characters of each text are searched for names, which takes longer: imports are at the beginning."""

_DEPTH = 4
"""How many parts of a dotted name count."""

_START = r"(?:^|[;:])[ \t]*"
_IMPORT = re.compile(_START + r"import[ \t]+([\w., \t]+)", re.MULTILINE)
_FROM = re.compile(_START + r"from[ \t]+([\w.]+)[ \t]+import[ \t]*(?:\(([\w\s,]*)|([\w \t,]*))", re.MULTILINE)


_READ_LATER = {"PYTHON_COLORS"}
"""Variables that only the standard library reads, and only when it prints a traceback or a help text."""


def imports_of(job: Job) -> frozenset[str] | None:
    """Find the modules that a program imports, without running or parsing it; a wrong answer costs only time.

    Returns:
        Names of modules, and of what is imported from modules, which may be modules as well. None if the program
        probably imports nothing.
    """
    found: set[str] = set()
    is_seen = False
    for text in _texts(job):
        if "import" in text:
            is_seen = True
            found.update(islice(_names(text[:_SEARCHED_FOR_NAMES]), max(0, _MAX_NAMES - len(found))))
    for option, module in zip(job.args[:_MAX_NAMES], job.args[1:], strict=False):
        if option in ("-m", b"-m"):
            is_seen = True
            found.add(_text(module, _MAX_NAME_LENGTH))
    if not is_seen:
        return None
    if job.env.keys() - _READ_LATER:  # packages may read variables when they are imported
        return frozenset()
    return frozenset(".".join(name.split(".")[:_DEPTH]) for name in found)


def _texts(job: Job) -> Iterator[str]:
    """Yield the beginning of everything that may be the text of a program."""
    left = _SEARCHED_SIZE
    for text in chain(job.args, (file.content for file in job.files if file.path.endswith(".py"))):
        if left <= 0:
            return
        yield (piece := _text(text, left))
        left -= max(1, len(piece))


def _text(text: str | bytes, size: int) -> str:
    return text[:size].decode(errors="replace") if isinstance(text, bytes) else text[:size]


def _names(text: str) -> Iterator[str]:
    for modules in _IMPORT.findall(text):
        yield from (words[0] for part in modules.split(",") if (words := part.split()))
    for module, inside, plain in _FROM.findall(text):
        if not module.startswith("."):
            yield module
            yield from (f"{module}.{words[0]}" for part in (inside or plain).split(",") if (words := part.split()))

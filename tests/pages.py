"""The steps that a page of the documentation has its reader take.

An indented block is shell commands; a fenced block names its language. HTML comments, which readers do not see, say what
the text around them says in prose:

- ``<!-- given: registry, server -->``: what the page takes for granted.
- ``<!-- not run: REASON -->``: the commands that follow are not run by the test.
- ``<!-- exit code: 0 or 1 -->``: how the command that follows may end, if not with 0 alone.
- ``<!-- output -->``: the fence that follows, or each code span of the paragraph that follows, is in the output of the
  command before it.
- ``<!-- log -->``: each code span of the paragraph that follows comes to stand in the server's log.
- ``<!-- append to FILE -->``: the reader adds the fence that follows to the end of a file.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
Kind = Literal["command", "output", "log", "append"]

_MARK = re.compile(r"<!-- (given:|not run:|exit code:|output|log|append to) ?(.*?) ?-->", re.DOTALL)
_GENERATED = re.compile(r"<!-- (end of )?(figures|matrix) -->")  # what lies between is written by a command


@dataclass(frozen=True)
class Step:
    """Something that a reader does, or sees.

    Attributes:
        kind: What it is.
        line: Where it stands in its page.
        texts: The commands, what is seen, or what is added to a file.
        language: Of a fence that shows output; empty for code spans.
        reason: Why commands are not run; None for those that are.
        exit_codes: With which a command may end.
        file: What is added to.
    """

    kind: Kind
    line: int
    texts: tuple[str, ...]
    language: str = ""
    reason: str | None = None
    exit_codes: tuple[int, ...] = (0,)
    file: str = ""


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        path: Its file, from the top of the repository.
        given: What it takes for granted.
        steps: What its reader does and sees, in order.
    """

    path: Path
    given: tuple[str, ...]
    steps: tuple[Step, ...]


def read_page(path: Path) -> Page:
    """Take a page apart.

    Args:
        path: Its file, from the top of the repository.
    """
    given: tuple[str, ...] = ()
    steps: list[Step] = []
    marks: dict[str, str] = {}
    for token in MarkdownIt().enable("table").parse((ROOT / path).read_text()):
        if token.type == "html_block":
            marks |= _marks(token.content)
            given += tuple(filter(None, marks.pop("given", "").split(", ")))
        elif token.type in {"code_block", "fence", "inline"}:
            if step := _step(token, marks):
                steps.append(step)
            marks = {}
    return Page(path, given, tuple(steps))


def _marks(comments: str) -> dict[str, str]:
    found = {key.rstrip(":"): value for key, value in _MARK.findall(comments)}
    if not found and not _GENERATED.match(comments):
        raise ValueError(f"not a mark that this test knows: {comments}")
    return found


def _step(token: Token, marks: dict[str, str]) -> Step | None:
    line = token.map[0] + 1 if token.map else 0
    if token.type == "code_block":
        codes = tuple(map(int, marks.get("exit code", "0").split(" or ")))
        return Step("command", line, (token.content,), reason=marks.get("not run"), exit_codes=codes)
    if "append to" in marks:
        return Step("append", line, (token.content,), file=marks["append to"])
    kind: Kind | None = "output" if "output" in marks else "log" if "log" in marks else None
    if kind is None:
        return None
    if token.type == "fence":
        return Step(kind, line, (token.content,), language=token.info)
    spans = tuple(child.content for child in token.children or () if child.type == "code_inline")
    return Step(kind, line, spans)

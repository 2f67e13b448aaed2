"""The tables of docs/reference/hosts.md, from what was found; settings that were not tried keep their rows."""

from collections.abc import Iterable, Mapping

from hosts.found import Found
from hosts.usage import PROGRAMS

BEGIN, END = "<!-- matrix -->", "<!-- end of matrix -->"
WALLS = (
    *("nsjail", "namespaces", "seccomp"),
    *("cgroup memory", "cgroup pids", "cgroup cpu", "cgroup swap"),
    *("ids", "identity"),
)
_HEADS = (
    ("setting", *WALLS),
    (
        "setting",
        "evaluations",
        "guests out of memory",
        "`stop` drains",
        "left by stop",
        "left by SIGKILL",
        "tests",
        "took",
    ),
    ("setting", "wall", "what `snekhouse doctor` says"),
    ("setting", "what", "found"),
    ("setting", "an evaluation", *PROGRAMS),
)
_INTRODUCTIONS = (
    "The state of each wall:",
    (
        "How the server behaved. The column `tests` has results if the setting names tests, for forked and cold evaluations.\n"
        "The column `took` also says how many times longer an interpreter takes to start in the virtual machine than on "
        "its host:"
    ),
    "Each missing wall, the reason, and the remedy:",
    "Other results:",
    "Time of `print(1)` over HTTP in milliseconds, and `usage.memory` (MiB) and `usage.cpu_time` (s) of each program:",
)


def merged(page: str, found: Mapping[str, Found], titles: Iterable[str]) -> str:
    """Put what was found into the page.

    Args:
        page: The page as it is.
        found: What was found, by the title of the setting.
        titles: Those of all settings there are, in order.
    """
    before, _, rest = page.partition(BEGIN)
    old, _, after = rest.partition(END)
    kept = _rows(old)
    new = [{title: _cells(number, each) for title, each in found.items()} for number in range(len(_HEADS))]
    tables = []
    for number, head in enumerate(_HEADS):
        rows = {**kept[number], **new[number]}
        lines = [_line(head), "|" + "---|" * len(head)]
        lines += [_line((title, *cells)) for title in titles for cells in rows.get(title, ())]
        tables.append(f"{_INTRODUCTIONS[number]}\n\n" + "\n".join(lines))
    return f"{before}{BEGIN}\n\n" + "\n\n".join(tables) + f"\n\n{END}{after}"


def _rows(text: str) -> list[dict[str, list[list[str]]]]:
    """Read the rows of each table: the cells after the first one, by the first one."""
    tables: list[dict[str, list[list[str]]]] = []
    for line in text.splitlines():
        if line.startswith("| setting"):
            tables.append({})
        elif line.startswith("| "):
            title, *cells = (cell.strip().replace("\\|", "|") for cell in line[2:-2].split(" | "))
            tables[-1].setdefault(title, []).append(cells)
    return tables + [{} for _ in range(len(_HEADS) - len(tables))]


def _cells(number: int, found: Found) -> list[list[str]]:
    """Make the rows of a setting in one of the tables."""
    if number == 0:
        return [[_standing(found, wall) for wall in WALLS]]
    if number == 1:
        return [_conduct(found)]
    if number == 2:
        return [[wall, detail] for wall, (stands, detail) in found.walls.items() if not stands]
    if number == 3:
        return [[title, text] for title, text in found.notes.items()]
    if found.evaluation_ms is None:
        return []
    return [[f"{found.evaluation_ms:.0f}", *(f"{memory}, {cpu}" for memory, cpu in found.usage.values())]]


def _standing(found: Found, wall: str) -> str:
    if wall not in found.walls:
        return ""
    stands, _ = found.walls[wall]
    return "stands" if stands else "**missing**"


def _conduct(found: Found) -> list[str]:
    if found.refused:
        return ["the server refuses to start", "", "", "", "", "", _time(found)]
    if found.failure and not found.evaluations:
        return [f"none: {_first_line(found.failure)}", "", "", "", "", "", _time(found)]
    ends = ", ".join(f"{count:,} {status}" for status, count in found.hogs.items())
    survival = {True: "the server survives", False: "**the server ends**", None: ""}[found.survived]
    return [
        ", ".join(dict.fromkeys(found.evaluations)),
        f"{ends}; {survival}",
        {True: "yes", False: "**no**", None: _first_line(found.failure)}[found.drained],
        _left(found.left_by_stop, known=found.drained is not None),
        _left(found.left_by_kill, known=found.drained is not None and not found.failure),
        "; ".join(f"{start}: {line}" for start, line in found.tests.items()),
        _time(found),
    ]


def _first_line(text: str) -> str:
    return text.partition("\n")[0][:200]


def _time(found: Found) -> str:
    return f"{found.seconds / 60:.0f} min, {found.slowness:.0f} times slower"


def _left(what: list[str], *, known: bool) -> str:
    return ", ".join(what) or ("nothing" if known else "")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

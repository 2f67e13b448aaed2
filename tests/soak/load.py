"""A mixed load: evaluations of every kind, each with a nonce that its own answer must bring back."""

import base64
import itertools
import math
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx

_BUSY = 503


@dataclass(frozen=True)
class Case:
    """One evaluation.

    Attributes:
        kind: What it is for.
        body: The request.
        fits: Whether an answer is its own, and right.
        leaves_after: Seconds after which its client goes away; None when it waits for the answer.
    """

    kind: str
    body: dict[str, Any]
    fits: Callable[[dict[str, Any]], bool]
    leaves_after: float | None = None


def _printing(kind: str, program: str, status: str, **more: Any) -> Case:
    nonce = uuid.uuid4().hex
    body = {"input": f"print({nonce!r}, flush=True)\n{program}", **more}
    return Case(kind, body, lambda answer: answer["status"] == status and answer["stdout"].startswith(nonce))


def _with_files() -> Case:
    nonce = base64.b64encode(uuid.uuid4().bytes).decode()
    body = {"input": "import os; os.rename('in/x', 'out')", "files": [{"path": "in/x", "content": nonce}]}
    return Case("files", body, lambda answer: [file["content"] for file in answer["files"]] == [nonce])


def _leaving() -> Case:
    body = {"input": "import time\nwhile True: time.sleep(0.01)"}
    return Case("disconnect", body, lambda _: False, leaves_after=random.uniform(0.0, 0.1))


KINDS: dict[str, tuple[int, Callable[[], Case]]] = {
    "ok": (40, lambda: _printing("ok", "", "ok")),
    "error": (10, lambda: _printing("error", "1/0", "error")),
    "signal": (5, lambda: _printing("signal", "import os; os.abort()", "signaled")),
    "flood": (5, lambda: _printing("flood", "while True: print('x' * 9999)", "output_limit")),
    "timeout": (5, lambda: _printing("timeout", "while True: pass", "timeout", limits={"wall_time": 0.2})),
    "memory": (5, lambda: _printing("memory", "x = b'x' * (200 << 20)", "out_of_memory")),
    "daemon": (5, lambda: _printing("daemon", "import os, time\nif not os.fork(): os.setsid(); time.sleep(60)", "ok")),
    "files": (15, _with_files),
    "disconnect": (10, _leaving),
}
"""How often each comes, and how it is made."""


def cases(count: int) -> Iterator[Case]:
    """Make so many, mixed the same way each time."""
    chance = random.Random(4)
    kinds = chance.choices(list(KINDS), [weight for weight, _ in KINDS.values()], k=count)
    return (KINDS[kind][1]() for kind in kinds)


@dataclass
class Tally:
    """How a load fared.

    Attributes:
        answered: Evaluations that have their right answer, by kind; those whose clients went away too.
        refused: Answers of 503, each of which was tried again.
        wrong: Answers that belong to another or are not right.
        lost: Requests without an answer, with the reason.
    """

    answered: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


async def bear(url: str, load: Iterator[Case], *, clients: int, tally: Tally) -> None:
    """Send a load by so many clients at once, each waiting for its answer before it sends the next."""

    async def one(client: httpx.AsyncClient) -> None:
        for case in load:
            await _send(client, case, tally)

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client, anyio.create_task_group() as tasks:
        for _ in range(clients):
            tasks.start_soon(one, client)


async def _send(client: httpx.AsyncClient, case: Case, tally: Tally) -> None:
    try:
        with anyio.move_on_after(case.leaves_after if case.leaves_after is not None else math.inf):
            response = await _answer(client, case, tally)
            if response.status_code == httpx.codes.OK and case.fits(response.json()):
                tally.answered[case.kind] += 1
            else:
                tally.wrong.append(f"{case.kind}: {response.status_code} {response.text[:300]}")
            return
        tally.answered[case.kind] += 1  # its client has left
    except httpx.HTTPError as error:
        tally.lost.append(f"{case.kind}: {error!r}")


async def _answer(client: httpx.AsyncClient, case: Case, tally: Tally) -> httpx.Response:
    """Send until the server is not too busy."""
    for attempt in itertools.count(1):
        response = await client.post("/eval", json=case.body)
        if response.status_code != _BUSY:
            return response
        tally.refused += 1
        await anyio.sleep(random.uniform(0, 0.05 * min(attempt, 10)))
    raise AssertionError

"""Large answers and events are made and sent in pieces, so that other requests and other clients can go on."""

import base64
import json
from collections.abc import Iterator

import anyio
import pytest
from starlette.types import Message

from snekhouse.evaluation import File, Result, Status
from snekhouse.judging.verdicts import Judgement, Verdict
from snekhouse.service.cases import CaseResult
from snekhouse.web.answer import FixedAnswer, eval_pieces, joined
from snekhouse.web.judge_schemas import CaseOut
from snekhouse.web.memory_budget import MemoryBudget, TransitLimit
from snekhouse.web.streaming import Events, StreamFormat

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_other_tasks_run_while_pieces_are_joined() -> None:
    seen: list[int] = []
    made = 0

    def pieces() -> Iterator[bytes]:
        nonlocal made
        while made < 20:
            made += 1
            yield b"x" * 50_000

    async def look() -> None:
        while True:
            seen.append(made)
            await anyio.lowlevel.checkpoint()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        assert len(await joined(pieces())) == 1_000_000
        tasks.cancel_scope.cancel()
    assert len(set(seen)) > 5


async def test_a_case_in_pieces_is_what_pydantic_makes_of_it() -> None:
    files = (File("a", b"x" * 1_000_000), File("b", b""))
    result = Result(Status.ERROR, 1, stdout="\u2028\u00fc" * 100_000, stderr="", files=files)
    case = CaseOut.of("one", CaseResult(3, Judgement(Verdict.WRONG_ANSWER, "differs"), result), with_content=True)
    assert json.loads(await joined(eval_pieces(case))) == json.loads(case.model_dump_json())


@pytest.mark.parametrize("kind", StreamFormat)
async def test_an_event_of_pieces_is_one_line(kind: StreamFormat) -> None:
    events: list[bytes] = []

    async def deliver(event: bytes) -> None:
        events.append(event)

    pieces = (b'{"text":"', "a\u2028b\x85".encode(), b'"', b"}")
    await Events(kind, deliver).send("end", iter(pieces))
    text = events[0].decode()
    assert len(text.strip().splitlines()) == (2 if kind is StreamFormat.SSE else 1)
    line = text.strip().splitlines()[-1].removeprefix("data: ")
    assert json.loads(line)["text"] == "a\u2028b\x85"


async def test_a_client_that_does_not_read_a_file_gives_way_to_others() -> None:
    budget = MemoryBudget(lambda: 200_000)
    answer = FixedAnswer(base64.b64encode(bytes(300_000)))
    is_stuck = anyio.Event()

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body":
            is_stuck.set()
            await anyio.sleep_forever()

    async def receive() -> Message:
        return {"type": "http.request"}

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(TransitLimit(answer, budget), {"type": "http"}, receive, send)
        await is_stuck.wait()
        assert 0 < budget.held <= 1 << 17
        await anyio.sleep(1.1)  # until the client is known to be slow
        with budget.reserve() as other:
            other.hold(200_000)

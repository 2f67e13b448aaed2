"""Many evaluations in one request, a line each."""

import json
from typing import Any

import httpx
import pytest

NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(client: httpx.Client, *sent: object, **headers: str) -> list[dict[str, Any]]:
    content = "\n".join(each if isinstance(each, str) else json.dumps(each) for each in sent)
    answer = client.post("/batch", content=content, headers=NDJSON | headers)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def test_each_line_is_an_evaluation_and_gets_an_answer(client: httpx.Client) -> None:
    names = [runtime["name"] for runtime in client.get("/runtimes").json()["runtimes"]]
    sent = [
        {"id": f"{name}/{number}", "runtime": name, "input": f"print({number})"}
        for name in names
        for number in range(5)
    ]
    start, *answers, end = lines(client, *sent)
    assert start == {"event": "start", "count": len(sent)}
    assert end == {"event": "end", "count": len(sent)}
    by_index = {answer["index"]: answer for answer in answers}
    assert sorted(by_index) == list(range(len(sent)))
    for index, line in enumerate(sent):
        answer = by_index[index]
        assert (answer["event"], answer["id"], answer["runtime"]) == ("result", line["id"], line["runtime"])
        assert (answer["status"], answer["stdout"]) == ("ok", f"{index % 5}\n")


def test_a_line_may_have_long_texts_but_not_many_values(client: httpx.Client) -> None:
    long = "x" * 300_000
    sent = ({"id": 1, "input": f"print(len('{long}'))"}, {"id": 2, "input": "", "args": [[0]] * 300_000})
    _, *answers, _ = lines(client, *sent)
    found = {answer["id"]: answer for answer in answers}
    assert found[1]["stdout"] == "300000\n"
    assert "the body has more than 250000 values" in found[2]["error"]["description"]


def test_a_bad_line_costs_the_others_nothing(client: httpx.Client) -> None:
    bad: list[object] = [
        "nonsense",
        '{"id": 7, "input": 1}',
        {"id": "x"},
        {"id": "y", "input": "1", "runtime": "none"},
        {"id": "z", "input": "1", "limits": {"wall_time": 60}},
        "[1, 2]",
        {"id": 1.5, "input": "1"},
    ]
    good = [{"id": number, "input": f"print({number})"} for number in range(7)]
    sent = [each for pair in zip(bad, good, strict=True) for each in pair]
    _, *answers, end = lines(client, *sent)
    assert end["count"] == 14
    errors = {answer["index"]: answer for answer in answers if answer["event"] == "error"}
    assert sorted(errors) == [0, 2, 4, 6, 8, 10, 12]
    assert [errors[index]["id"] for index in sorted(errors)] == [None, 7, "x", "y", "z", None, None]
    assert errors[0]["error"]["title"] == "Invalid JSON"
    assert "input: Input should be a valid string" in errors[2]["error"]["description"]
    assert "there is no runtime 'none'" in errors[6]["error"]["description"]
    assert errors[12]["error"]["description"] == "id: Input should be a valid integer"
    results = {answer["id"]: answer["stdout"] for answer in answers if answer["event"] == "result"}
    assert results == {number: f"{number}\n" for number in range(7)}


def test_values_files_and_every_status_come_back(client: httpx.Client) -> None:
    _, *answers, _ = lines(
        client,
        {"id": "value", "input": "6 * 7", "result": True},
        {"id": "file", "input": "open('a', 'w').write('x')"},
        {"id": "error", "input": "1 / 0"},
        {"id": "time", "input": "while True: pass", "limits": {"wall_time": 0.5}},
    )
    told = {answer["id"]: answer for answer in answers}
    assert told["value"]["result"] == {"text": "42"}
    assert told["file"]["files"] == [{"path": "a", "size": 1, "content": "eA=="}]
    assert (told["error"]["status"], told["time"]["status"]) == ("error", "timeout")


def test_empty_lines_are_nothing(client: httpx.Client) -> None:
    _, answer, end = lines(client, "", {"input": "print(1)"}, "  ", "")
    assert (answer["stdout"], end["count"]) == ("1\n", 1)
    assert lines(client, "") == [{"event": "start", "count": 0}, {"event": "end", "count": 0}]


def test_answers_may_be_server_sent_events(client: httpx.Client) -> None:
    headers = NDJSON | {"Accept": "text/event-stream"}
    text = client.post("/batch", content='{"input": "print(1)"}', headers=headers).text
    assert text.startswith('event: start\ndata: {"count":1}\n\nevent: result\ndata: {"index":0,')
    assert text.endswith('event: end\ndata: {"count":1}\n\n')


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [("[]", "application/json", 415), ("{}\n" * 10_001, "application/x-ndjson", 400)],
)
def test_what_is_no_batch_is_refused(client: httpx.Client, content: str, kind: str, status: int) -> None:
    assert client.post("/batch", content=content, headers={"Content-Type": kind}).status_code == status


def test_lines_for_which_there_is_no_time_are_skipped(client: httpx.Client) -> None:
    sent = [{"id": number, "input": "import time; time.sleep(0.4)"} for number in range(20)]
    _, *answers, end = lines(client, *sent, **{"X-Request-Timeout": "1"})
    assert end["count"] == 20
    kinds = {kind: [answer["id"] for answer in answers if answer["event"] == kind] for kind in ("result", "skipped")}
    assert kinds["result"]
    assert kinds["skipped"]
    assert sorted(kinds["result"] + kinds["skipped"]) == list(range(20))


def test_a_line_that_cannot_be_evaluated_costs_the_others_nothing(client: httpx.Client) -> None:
    low = {"id": "low", "input": "1", "result": True, "limits": {"memory": 1}}
    _, *answers, end = lines(client, {"id": 1, "input": "print(1)"}, low, {"id": 2, "input": "print(2)"})
    assert end["count"] == 3
    told = {answer["id"]: answer for answer in answers}
    assert (told[1]["stdout"], told[2]["stdout"]) == ("1\n", "2\n")
    assert "not enough for a session" in told["low"]["message"]


def test_a_flood_of_empty_lines_is_refused_at_once(client: httpx.Client) -> None:
    answer = client.post("/batch", content=b"\n" * (30 << 20), headers=NDJSON)
    assert answer.status_code == 400
    assert "send at most 10000" in answer.json()["description"]

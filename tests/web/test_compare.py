"""One program in several runtimes."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import SLOWNESS, running_server
from web.test_judge import events

VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def compared(client: httpx.Client, **body: Any) -> dict[str, Any]:
    answer = client.post("/compare", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def names(client: httpx.Client) -> list[str]:
    return [runtime["name"] for runtime in client.get("/runtimes").json()["runtimes"]]


def test_all_runtimes_that_agree_are_one_group(client: httpx.Client) -> None:
    answer = compared(client, input="print(1)")
    (group,) = answer["groups"]
    assert (sorted(group["runtimes"]), group["diff"]) == (sorted(names(client)), "")
    assert set(answer["results"]) == set(names(client))
    assert {result["stdout"] for result in answer["results"].values()} == {"1\n"}
    assert answer["skipped"] == []


def test_runtimes_that_differ_are_in_other_groups_with_a_diff(client: httpx.Client) -> None:
    answer = compared(client, input="print(sorted({1: 2}) is None, end='')\nmatch 1:\n  case 1: print('matched')")
    first, *others = answer["groups"]
    assert answer["default"] in first["runtimes"]
    assert "3.8" in {name for group in others for name in group["runtimes"]}
    assert all("-Falsematched" in group["diff"] and "SyntaxError" in group["diff"] for group in others)


def test_what_is_normalized_is_no_difference(client: httpx.Client) -> None:
    assert len(compared(client, input=VERSION)["groups"]) > 1
    assert len(compared(client, input=VERSION, normalize={"versions": True})["groups"]) == 1
    code = "print(object())"
    assert len(compared(client, input=code, normalize={"addresses": True})["groups"]) == 1


@pytest.mark.parametrize("named", [["only", "broken"], ["broken", "only"]])
def test_a_runtime_that_is_named_must_be_available(small: Path, tmp_path: Path, named: list[str]) -> None:
    small.write_text(f'{small.read_text()}\n[runtimes.broken]\nexecutable = "/no/such/python"\n')
    small.write_text(f'default = "only"\n{small.read_text()}')
    with running_server(small, tmp_path / "log") as server:
        assert list(compared(server.client, input="print(1)")["results"]) == ["only"]
        answer = server.client.post("/compare", json={"input": "print(1)", "runtimes": named})
        assert answer.status_code == 503
        assert "the runtime broken is unavailable" in answer.json()["description"]
        metrics = server.client.get("/metrics").text
    assert 'snekhouse_evals_total{runtime="broken",status="refused"} 1.0' in metrics
    assert 'snekhouse_evals_total{runtime="only",status="ok"} 1.0' in metrics


def test_runtimes_can_be_chosen_also_by_alias(client: httpx.Client) -> None:
    chosen = names(client)[:2]
    answer = compared(client, input=VERSION, runtimes=[*chosen, chosen[0]])
    assert list(answer["results"]) == chosen


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"input": "1", "runtimes": ["none"]}, 404, "there is no runtime 'none'"),
        ({"input": "1", "runtimes": []}, 400, "none is named or available"),
        ({"input": "1", "limits": {"wall_time": 60}}, 400, ": limits.wall_time: 60.0 is above"),
        ({"input": "1", "runtimes": "3.13"}, 400, "runtimes: Input should be 'all' or a list of names"),
        ({"input": "1", "runtimes": ["3.13", 5]}, 400, "runtimes.1: Input should be a valid string"),
        ({"input": "1", "normalise": {}}, 400, "normalise: unknown; did you mean 'normalize'?"),
    ],
)
def test_a_request_that_cannot_be_compared_is_refused(
    client: httpx.Client, body: dict[str, Any], status: int, told: str
) -> None:
    answer = client.post("/compare", json=body)
    assert answer.status_code == status
    assert told in answer.json().get("description", "")


def test_runtimes_for_which_there_is_no_time_are_skipped(client: httpx.Client) -> None:
    answer = compared(client, input="import time; time.sleep(2)", timeout=1.0)
    assert set(answer["skipped"]) == set(names(client))
    assert (answer["groups"], answer["results"]) == ([], {})


def test_results_stream_as_they_come(client: httpx.Client) -> None:
    start, *results, end = events(client, "/compare", {"input": VERSION})
    assert start == {"event": "start", "runtimes": names(client)}
    assert {result["runtime"] for result in results} == set(names(client))
    assert {result["event"] for result in results} == {"result"}
    assert end["event"] == "end"
    assert sum(len(group["runtimes"]) for group in end["groups"]) == len(names(client))


@pytest.mark.alone
def test_differences_that_take_long_are_bounded(client: httpx.Client) -> None:
    program = "import sys\nfor n in range(2000): print(n * (2 * sys.version_info[1] + 1) % 100)"
    begin = time.monotonic()
    with ThreadPoolExecutor(30) as pool:
        for _ in range(30):
            pool.submit(compared, client, input=program)
    assert time.monotonic() - begin < 15 * SLOWNESS

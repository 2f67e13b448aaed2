"""Requests that are refused, each with a title and a description."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from contract.snekbox_client import SnekboxClient
from crowds import until
from serving import Server
from snekhouse.registry.models import Registry


def refusal(response: httpx.Response) -> tuple[int, str]:
    """Check that an answer has the shape of errors; tell its status and title."""
    assert response.headers["content-type"] == "application/json"
    assert set(response.json()) == {"title", "description"}
    assert response.json()["description"]
    return response.status_code, response.json()["title"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        None,
        [],
        "x",
        {"input": 1},
        {"input": None},
        {"input": ["print(1)"]},
        {"args": "-c"},
        {"args": ["-c", 1]},
        {"input": "", "args": [None]},
        {"input": "", "files": {}},
        {"input": "", "files": ["x"]},
        {"input": "", "files": [{}]},
        {"input": "", "files": [{"path": 1}]},
        {"input": "", "files": [{"path": "/etc/passwd"}]},
        {"input": "", "files": [{"path": "a\0b"}]},
        {"input": "", "files": [{"path": r"a\0b"}]},
        {"input": "", "files": [{"path": "x", "content": None}]},
        {"input": 1, "files": [{"path": "../x"}]},
        {"input": "", "executable_path": 1},
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_the_schema_is_a_400(client: httpx.Client, body: object) -> None:
    assert refusal(client.post("/eval", content=json.dumps(body))) == (400, "Request data failed validation")


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize(
    "file",
    [
        {"path": ""},
        {"path": "."},
        {"path": ".."},
        {"path": "../x"},
        {"path": "a/../../x"},
        {"path": "a/../../home/x"},
        {"path": "a/" * 200 + "x"},
        {"path": "x", "content": "a"},
        {"path": "x", "content": "YQ=="  "YQ=="},
        {"path": "x", "content": "YWFh" * 100 + "é"},
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_written_is_a_400(client: httpx.Client, file: object, long: bool) -> None:
    code = "#" * 70_000 if long else ""
    response = client.post("/eval", json={"input": code, "files": [file]})
    assert refusal(response) == (400, "Request file is invalid")


@pytest.mark.parametrize(
    "path", ["/bin/sh", "/no/such/file", "/snekbin/python/3.99/bin/python", "/snekbin/python/../../bin/sh", "x" * 4000]
)
def test_an_unknown_executable_is_a_400_that_names_runtimes_and_no_paths(
    client: httpx.Client, registry: Registry, path: str
) -> None:
    response = client.post("/eval", json={"input": "", "executable_path": path})
    assert refusal(response) == (400, "executable_path does not exist")
    description = response.json()["description"]
    assert all(name in description for name in registry.runtimes)
    assert not any(runtime.executable in description for runtime in registry.runtimes.values())
    assert len(description) <= 500


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff", b'{"input": "\xff"}', b"[" * 100_000, b'{"input": "' + b"x" * 70_000]
)
def test_a_body_that_is_not_json_is_a_400(client: httpx.Client, body: bytes) -> None:
    response = client.post("/eval", content=body, headers={"content-type": "application/json"})
    assert refusal(response) == (400, "Invalid JSON")


def test_what_only_this_server_refuses_has_the_title_of_its_status(client: httpx.Client) -> None:
    assert refusal(client.post("/eval", json={"input": "", "limits": {"wall_time": 1e6}})) == (400, "Bad Request")


@pytest.mark.parametrize("path", ["/nowhere", "/eval/3.99", "/eval/3.6/x", "/evaluate", "/EVAL"])
def test_an_unknown_path_is_a_404(client: httpx.Client, path: str) -> None:
    response = client.post(path, json={"input": ""})
    assert refusal(response) == (404, "Not Found")
    assert response.json()["description"].startswith(("there is no such route; GET / lists", "there is no runtime"))


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_method_is_a_405(client: httpx.Client, method: str) -> None:
    response = client.request(method, "/eval")
    assert refusal(response) == (405, "Method Not Allowed")
    assert response.headers["allow"] == "POST, OPTIONS"
    assert response.json()["description"] == "send one of the methods POST, OPTIONS"


def test_head_is_a_405_without_a_body(client: httpx.Client) -> None:
    response = client.head("/eval")
    assert (response.status_code, response.headers["allow"], response.content) == (405, "POST, OPTIONS", b"")


def test_options_are_told(client: httpx.Client) -> None:
    response = client.options("/eval")
    assert (response.status_code, response.headers["allow"]) == (200, "POST, OPTIONS")


def test_a_body_that_is_too_large_is_a_413(client: httpx.Client) -> None:
    body = b'{"input": "' + b" " * (64 << 20) + b'"}'
    assert refusal(client.post("/eval", content=body))[0] == 413
    assert refusal(client.post("/eval", content=iter([body[: 32 << 20], body[32 << 20 :]])))[0] == 413


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain"])
def test_another_media_type_is_a_415(client: httpx.Client, kind: str) -> None:
    response = client.post("/eval", content=b'{"input": ""}', headers={"content-type": kind})
    assert refusal(response) == (415, "415 Unsupported Media Type")


def test_a_full_house_is_a_503_that_tells_when_to_come_again(server: Server) -> None:
    places, seats, more = os.cpu_count() or 1, 64, 15

    def post(code: str) -> httpx.Response:
        return server.client.post("/eval", json={"input": code})

    with ThreadPoolExecutor(places + seats + more) as pool:
        long = [pool.submit(post, "import time; time.sleep(4)") for _ in range(places)]
        until(lambda: f"snekhouse_evals_in_progress {places}.0" in server.client.get("/metrics").text)
        answers = list(pool.map(post, ["pass"] * (seats + more)))
        assert [future.result().status_code for future in long] == [200] * places
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == more
    for answer in refused:
        assert refusal(answer) == (503, "Service Unavailable")
        assert int(answer.headers["retry-after"]) >= 1


def test_every_answer_is_json_after_a_refusal_too(snekbox: SnekboxClient) -> None:
    assert snekbox.post(input=1).status_code == 400
    assert snekbox.prints("print(1)") == "1\n"

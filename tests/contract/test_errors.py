"""Requests that are refused, each with a title and a description."""

import os
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from contract.peerlike import Peerlike
from serving import Server


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
        {"input": 1},
        {"input": ["print(1)"]},
        {"args": "-c"},
        {"args": ["-c", 1]},
        {"input": "", "args": [None]},
        {"input": "", "files": {}},
        {"input": "", "files": ["x"]},
        {"input": "", "files": [{}]},
        {"input": "", "files": [{"path": 1}]},
        {"input": "", "files": [{"path": ""}]},
        {"input": "", "files": [{"path": "."}]},
        {"input": "", "files": [{"path": "/etc/passwd"}]},
        {"input": "", "files": [{"path": ".."}]},
        {"input": "", "files": [{"path": "../x"}]},
        {"input": "", "files": [{"path": "a/../../x"}]},
        {"input": "", "files": [{"path": "a/../../home/x"}]},
        {"input": "", "files": [{"path": "a\0b"}]},
        {"input": "", "files": [{"path": "x", "content": None}]},
        {"input": "", "files": [{"path": "x", "content": "a"}]},
        {"input": "", "files": [{"path": "x", "content": "YQ=="  "YQ=="}]},
        {"input": "", "executable_path": 1},
        {"input": "", "executable_path": "/bin/sh"},
        {"input": "", "executable_path": "/snekbin/python/3.99/bin/python"},
        {"input": "", "executable_path": "/snekbin/python/../../bin/sh"},
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_a_400(client: httpx.Client, body: object) -> None:
    assert refusal(client.post("/eval", json=body)) == (400, "Bad Request")


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b'"x"', b"\xff", b'{"input": "\xff"}', b'{"input": NaN}'])
def test_a_body_that_is_no_json_object_is_a_400(client: httpx.Client, body: bytes) -> None:
    response = client.post("/eval", content=body, headers={"content-type": "application/json"})
    assert refusal(response) == (400, "Bad Request")


@pytest.mark.parametrize("path", ["/", "/nowhere", "/eval/", "/eval/3.99", "/eval/3.6/x", "/evaluate", "/EVAL"])
def test_an_unknown_path_is_a_404(client: httpx.Client, path: str) -> None:
    assert refusal(client.post(path, json={"input": ""})) == (404, "Not Found")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_another_method_is_a_405(client: httpx.Client, method: str) -> None:
    response = client.request(method, "/eval")
    assert refusal(response) == (405, "Method Not Allowed")
    assert response.headers["allow"] == "POST, OPTIONS"


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
    assert refusal(response) == (415, "Unsupported Media Type")


def test_a_full_house_is_a_503_that_tells_when_to_come_again(server: Server) -> None:
    def post(_: int) -> httpx.Response:
        return server.client.post("/eval", json={"input": "import time; time.sleep(0.2)"})

    with ThreadPoolExecutor(80) as pool:
        answers = list(pool.map(post, range(80)))
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) == 80 - 64 - (os.cpu_count() or 1)
    for answer in refused:
        assert refusal(answer) == (503, "Service Unavailable")
        assert int(answer.headers["retry-after"]) >= 1


def test_every_answer_is_json_after_a_refusal_too(peer: Peerlike) -> None:
    assert peer.post(input=1).status_code == 400
    assert peer.prints("print(1)") == "1\n"

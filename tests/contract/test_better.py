"""Defects of snekbox that are not kept."""

import base64
import json
import socket
import time

import httpx
import pytest

from contract.snekbox_client import SnekboxClient, upload
from serving import SLOWNESS


def test_a_link_that_leaves_the_home_is_never_followed(snekbox: SnekboxClient) -> None:
    targets = ("/etc/ld.so.cache", "../etc/ld.so.cache", "/", "..", "../proc/self/environ", "/dev/zero", "/snekhouse")
    code = f"import os\nfor n, target in enumerate({targets}): os.symlink(target, str(n))\nos.symlink('/', 'root')"
    assert snekbox.leaves(code + "\nos.symlink('root/etc/passwd', 'through')") == {}


def test_links_that_loop_cost_nothing(snekbox: SnekboxClient) -> None:
    code = "import os\nos.symlink('a', 'a'); os.symlink('c', 'b'); os.symlink('b', 'c'); os.symlink('.', 'd')"
    begin = time.monotonic()
    assert snekbox.leaves(code + "; os.symlink('d/' * 2000 + 'a', 'e'); open('x', 'w').close()") == {"x": b""}
    assert time.monotonic() - begin < 1 * SLOWNESS


def test_a_large_program_works(snekbox: SnekboxClient) -> None:
    for size in (200_000, 8_000_000):
        assert snekbox.prints(f"print(len('{'x' * size}'))") == f"{size}\n"


@pytest.mark.parametrize(
    "body",
    [
        b'{"input": ' + b"[" * 100_000,
        b'{"x": ' * 50_000,
        b"[" * 30_000_000,
        b'{"input": "", "files": [{"path": "\\ud800"}]}',
        b'{"input": "", "args": ["\\udfff"]}',
    ],
)
def test_deep_nesting_and_lone_surrogates_are_a_400(client: httpx.Client, body: bytes) -> None:
    assert client.post("/eval", content=body).status_code == 400


def test_a_lone_surrogate_in_the_input_is_reported_as_that(client: httpx.Client) -> None:
    response = client.post("/eval", content=b'{"input": "print(\'\\ud800\')"}')
    assert response.status_code == 400
    assert "surrogate" in response.json()["description"]
    assert "null byte" not in response.text


def test_chunked_bodies_work(snekbox: SnekboxClient) -> None:
    body = json.dumps({"input": "print(1)", "executable_path": snekbox.executable}).encode()
    response = snekbox.client.post("/eval", content=(body[at : at + 1] for at in range(len(body))))
    assert response.json()["stdout"] == "1\n"


def test_a_target_may_name_its_host(client: httpx.Client) -> None:
    body = b'{"input": "print(1)"}'
    head = f"POST http://a.b:8060/eval HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20) as connection:
        connection.sendall(head.encode() + body)
        answer = b"".join(iter(lambda: connection.recv(4096), b""))
    assert b'"stdout":"1\\n"' in answer


@pytest.mark.parametrize(
    "form", [{"input": "print(1)"}, {"args": ["-c", "print(1)"]}, {"input": "", "args": "-cprint(1)"}]
)
def test_forms_of_programs_are_taken(client: httpx.Client, form: dict[str, str | list[str]]) -> None:
    assert client.post("/eval", data=form).json()["stdout"] == "1\n"


def test_a_form_carries_any_text(client: httpx.Client) -> None:
    program = "import sys\nprint(sys.stdin.read() + 'a+b&c=d; é 中 😀 %41')"
    answer = client.post("/eval", data={"input": program, "stdin": "1\r\n2 "}).json()
    assert answer["stdout"] == "1\r\n2 a+b&c=d; é 中 😀 %41\n"


def test_json_that_curl_sends_as_a_form_is_refused_with_the_header_to_send(client: httpx.Client) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    response = client.post("/eval", content=b' {"input": "print(1)"}', headers=form)
    assert response.status_code == 400
    assert response.json()["description"].endswith("send it with Content-Type: application/json")


@pytest.mark.parametrize("form", [b"input=%ff", b"input=\xff", b"nothing", b"a=b&" * 2000])
def test_what_is_not_a_form_is_refused(client: httpx.Client, form: bytes) -> None:
    headers = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    assert client.post("/eval", content=form, headers=headers).status_code == 400


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}],
    ids=["another origin", "no origin of its own", "another site"],
)
def test_what_web_pages_send_is_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    bare = client.build_request("POST", "/eval", content=b'{"input": "print(1)"}', headers=headers)
    assert "content-type" not in bare.headers
    form = client.post("/eval", data={"input": "print(1)"}, headers=headers)
    for response in (client.send(bare), form, client.post("/eval", json={"input": "print(1)"}, headers=headers)):
        assert (response.status_code, response.json()["title"]) == (403, "Forbidden")


def test_devices_that_programs_expect_are_there(snekbox: SnekboxClient) -> None:
    code = (
        "import subprocess, sys\nprint(open('/dev/null').read() == '', open('/dev/zero', 'rb').read(4) == bytes(4))\n"
        "print(len(open('/dev/urandom', 'rb').read(8)), open('/dev/null', 'w').write('x'))\n"
        "subprocess.run([sys.executable, '-c', 'print(1)'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)"
    )
    assert snekbox.prints(code) == "True True\n8 1\n"


def test_carriage_returns_stay(snekbox: SnekboxClient) -> None:
    assert snekbox.prints("import os; os.write(1, b'a\\rb\\r\\nc\\n\\r')") == "a\rb\r\nc\n\r"


@pytest.mark.parametrize("content", ["?", "YQ==?", "Y!Q==", "YQ=", "YQ==\u2003", "*" * 8])
def test_base64_with_foreign_characters_is_refused(client: httpx.Client, content: str) -> None:
    response = client.post("/eval", json={"input": "", "files": [{"path": "x", "content": content}]})
    assert response.status_code == 400
    assert "base64" in response.json()["description"]


@pytest.mark.parametrize("path", ["./x", "x/", "a/../x", "a//../x", "d//x", "./d/./x", "d/e/../x"])
def test_an_untouched_input_is_not_returned_under_another_spelling(snekbox: SnekboxClient, path: str) -> None:
    assert (
        snekbox.leaves("import os; os.path.exists('d') and os.symlink('d', 'linked')", files=[upload(path, "1")]) == {}
    )


def test_when_the_client_goes_away_its_run_ends_at_once(snekbox: SnekboxClient) -> None:
    with pytest.raises(httpx.ReadTimeout):
        snekbox.client.post("/eval", json={"input": "while True: pass"}, timeout=0.3)
    # The machine would be half as fast for up to six seconds if it went on; test_leaks counts its processes.
    assert snekbox.run("x = sum(range(10 ** 6))")["usage"]["queue_time"] < 0.5


def test_slow_clients_stop_nobody_else(snekbox: SnekboxClient) -> None:
    address = (snekbox.client.base_url.host, snekbox.client.base_url.port or 80)
    idle = [socket.create_connection(address) for _ in range(50)]
    try:
        for number, connection in enumerate(idle):
            connection.sendall((b"", b"POST /ev", b"POST /eval HTTP/1.1\r\nContent-Length: 99\r\n\r\n{")[number % 3])
        flood = json.dumps({"input": "print('x' * 999_999)"}).encode()
        for connection in idle[::5]:  # they never read their answer, which is large
            lone = socket.create_connection(address)
            idle.append(lone)
            lone.sendall(b"POST /eval HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(flood) + flood)
            assert connection.fileno() >= 0
        begin = time.monotonic()
        for _ in range(20):
            assert snekbox.prints("print(1)") == "1\n"
        assert time.monotonic() - begin < 5 * SLOWNESS
    finally:
        for connection in idle:
            connection.close()


def test_uploads_count_against_the_memory_of_the_run(snekbox: SnekboxClient) -> None:
    assert snekbox.run("", files=[upload("x", bytes(8 << 20))])["usage"]["memory"] > 8 << 20
    answer = snekbox.run("x = b'x' * (40 << 20)", files=[upload("x", bytes(32 << 20))])
    assert answer["status"] == "out_of_memory"


def test_tens_of_thousands_of_folders_are_refused(client: httpx.Client) -> None:
    response = client.post("/eval", json={"input": "", "files": [{"path": "a/" * 60_000 + "x"}]})
    assert response.status_code == 400


def test_content_is_decoded_once_and_exactly(snekbox: SnekboxClient) -> None:
    content = base64.b64encode(b"text").decode()
    assert snekbox.prints("print(open('x').read())", files=[{"path": "x", "content": content}]) == "text\n"

"""Which names a server answers for, and which web pages may use it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serving import Server, running_server


@pytest.fixture(scope="module")
def open_server(registry_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose registry names a host and an origin."""
    folder = tmp_path_factory.mktemp("callers")
    named = '[server]\nhosts = ["snek.example", "*.farm.example"]\norigins = ["https://page.example", "http://localhost:3000"]\n'
    (folder / "runtimes.toml").write_text(registry_path.read_text().replace("[server]\n", named))
    with running_server(folder / "runtimes.toml", folder / "log") as server:
        yield server


def ask(client: httpx.Client, host: str) -> int:
    return client.get("/healthz", headers={"host": host}).status_code


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:80", "localhost.", "a.localhost:8060", "127.0.0.1", "127.1.2.3:1", "[::1]", "[::1]:8060"],
)
def test_a_server_on_loopback_answers_for_loopback_names(client: httpx.Client, host: str) -> None:
    assert ask(client, host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8060",
        "localhost.evil.example",
        "192.168.0.1",
        "127.0.0.1.nip.io",
        "snek.example",
        "[::2]",
    ],
)
def test_and_for_no_other_name_so_dns_rebinding_reaches_nothing(client: httpx.Client, host: str) -> None:
    for method, path in (("GET", "/runtimes"), ("POST", "/eval"), ("GET", "/docs"), ("GET", "/metrics")):
        response = client.request(method, path, headers={"host": host})
        assert (response.status_code, response.json()["title"]) == (421, "Misdirected Request")
        assert "[server] hosts" in response.json()["description"]


@pytest.mark.parametrize(
    "host", ["snek.example", "Snek.Example:80", "a.farm.example", "b.a.farm.example.", "localhost"]
)
def test_the_registry_adds_names(open_server: Server, host: str) -> None:
    assert ask(open_server.client, host) == 200


@pytest.mark.parametrize("host", ["farm.example", "a.snek.example", "evilfarm.example"])
def test_a_name_stands_for_itself_and_a_star_for_what_is_below(open_server: Server, host: str) -> None:
    assert ask(open_server.client, host) == 421


@pytest.mark.parametrize("origin", ["https://page.example", "http://localhost:3000", "http://127.0.0.1:{port}"])
def test_pages_of_the_server_and_of_the_registry_may_use_it(open_server: Server, origin: str) -> None:
    origin = origin.format(port=open_server.client.base_url.port)
    response = open_server.client.post("/eval", json={"input": "print(1)"}, headers={"origin": origin})
    assert response.json()["stdout"] == "1\n"


def test_pages_of_the_registry_see_the_answers_and_no_others_do(open_server: Server) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    allowed = open_server.client.options("/eval", headers={"origin": "https://page.example", **asked})
    assert allowed.headers["access-control-allow-origin"] == "https://page.example"
    assert open_server.client.options("/eval", headers={"origin": "https://evil.example", **asked}).status_code == 400
    seen = open_server.client.get("/runtimes", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in seen.headers


@pytest.mark.parametrize(
    "origin",
    [
        "https://page.example:444",
        "http://page.example",
        "https://page.example.evil",
        "http://127.0.0.1:1",
        "https://[",
        "x",
        "",
    ],
)
def test_another_origin_is_refused_and_told_what_to_do(open_server: Server, origin: str) -> None:
    response = open_server.client.post("/eval", json={"input": "print(1)"}, headers={"origin": origin})
    assert response.status_code == 403
    assert "[server] origins" in response.json()["description"]


def test_a_page_behind_a_proxy_with_tls_is_the_servers_own(open_server: Server) -> None:
    headers = {"host": "snek.example", "origin": "https://snek.example"}
    assert open_server.client.post("/eval", json={"input": ""}, headers=headers).status_code == 200


def test_links_from_other_sites_still_open_the_documentation(client: httpx.Client) -> None:
    assert client.get("/docs", headers={"sec-fetch-site": "cross-site"}).status_code == 200

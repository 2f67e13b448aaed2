"""The pages without a browser: who gets them, with which headers, and that every file of them is served."""

import gzip
import re

import httpx
import pytest

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize("accept", ["*/*", "application/json", "", "text/plain, */*"])
def test_clients_get_json(client: httpx.Client, accept: str) -> None:
    answer = client.get("/", headers={"Accept": accept})
    assert answer.json()["name"] == "snekhouse"
    assert answer.headers["Vary"] == "Accept"


def test_browsers_get_the_page_with_a_nonce_of_its_own(client: httpx.Client) -> None:
    first, second = (client.get("/", headers=BROWSER) for _ in range(2))
    nonces = []
    for answer in (first, second):
        assert answer.headers["Content-Type"].startswith("text/html")
        assert answer.headers["Cache-Control"] == "no-store"
        found = re.search(r'name="csp-nonce" content="([^"]+)"', answer.text)
        assert found
        assert f"'nonce-{found[1]}'" in answer.headers["Content-Security-Policy"]
        nonces.append(found[1])
    assert nonces[0] != nonces[1]


@pytest.mark.parametrize("path", ["/", "/admin/"])
def test_every_file_that_a_page_names_is_served(client: httpx.Client, path: str) -> None:
    text = client.get(path, headers=BROWSER).text
    names = re.findall(r'(?:href|src)="((?:\.\./)?page/[^"]+)"', text)
    assert len(names) == 2
    for name in names:
        assert client.get(f"{path}{name}").status_code == 200


@pytest.mark.parametrize("path", ["/", "/admin/"])
def test_the_policy_of_a_page_allows_nothing_inline_and_no_frame_around_it(client: httpx.Client, path: str) -> None:
    headers = client.get(path, headers=BROWSER).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert policy["frame-ancestors"] == "'none'"
    assert headers["X-Frame-Options"] == "DENY"


def test_the_worker_may_connect_to_this_server_and_load_nothing(client: httpx.Client) -> None:
    policy = client.get("/page/worker.js").headers["Content-Security-Policy"]
    assert policy == "default-src 'none'; connect-src 'self'"


def test_the_frame_for_html_has_no_origin_and_runs_only_its_own_script(client: httpx.Client) -> None:
    answer = client.get("/page/frame.html")
    policy = answer.headers["Content-Security-Policy"]
    assert "sandbox allow-scripts" in policy
    assert "allow-same-origin" not in policy
    nonce = re.search(r"script-src 'nonce-([^']+)';", policy)
    assert nonce
    assert f'<script nonce="{nonce[1]}" src="frame.js">' in answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    assert "connect-src" not in policy  # so default-src 'none' applies


def test_files_are_compressed_if_the_client_accepts_it_and_sent_once(client: httpx.Client) -> None:
    plain = client.get("/page/app.js", headers={"Accept-Encoding": "identity"})
    assert "Content-Encoding" not in plain.headers
    with client.stream("GET", "/page/app.js", headers={"Accept-Encoding": "br, gzip;q=1.0"}) as answer:
        packed = b"".join(answer.iter_raw())
        assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed) == plain.content
    again = client.get("/page/app.js", headers={"If-None-Match": plain.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    refused = client.get("/page/app.js", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in refused.headers


@pytest.mark.parametrize("name", ["index.html", "admin.html", "app.ts", "..%2froutes.py", "%2e%2e/pages.py", ""])
def test_no_other_file_is_served(client: httpx.Client, name: str) -> None:
    assert client.get(f"/page/{name}").status_code == 404

"""Reports to Sentry: a server in its place takes them, and looks at what is in them."""

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from command import refused, snekhouse
from serving import running_server

MINE = "planted"


class Collector(ThreadingHTTPServer):
    """Takes what a client of Sentry sends."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reports: list[str] = []

    @property
    def dsn(self) -> str:
        return f"http://key@127.0.0.1:{self.server_port}/1"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Collector)
        unpacked = gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body
        self.server.reports.append(unpacked.decode())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as collector:
        thread = threading.Thread(target=collector.serve_forever)
        thread.start()
        yield collector
        collector.shutdown()
        thread.join()


@pytest.fixture
def fragile(small: Path, tmp_path: Path) -> Path:
    """A registry whose runtime cannot start cold, as it does, without a folder that the test may take away."""
    (tmp_path / "needed").mkdir()
    mount = f'start = "cold"\nmounts = [{{ source = "{tmp_path}/needed", target = "/needed" }}, '
    small.write_text(small.read_text().replace("mounts = [", mount))
    return small


def test_an_error_of_ours_is_reported_without_anything_of_the_clients(
    fragile: Path, tmp_path: Path, collector: Collector
) -> None:
    with running_server(fragile, tmp_path / "log", {"SNEKHOUSE_SENTRY_DSN": collector.dsn}) as server:
        body = {"input": f"print({MINE!r})", "stdin": MINE, "files": [{"path": MINE}]}
        headers = {"Authorization": f"Bearer {MINE}", "Cookie": f"a={MINE}"}
        assert server.client.post("/eval", json=body, headers=headers).json()["status"] == "ok"
        assert not collector.reports
        (tmp_path / "needed").rmdir()
        assert server.client.post("/eval", json=body, headers=headers).json()["status"] == "internal_error"
    (report,) = (report for report in collector.reports if '"level":"error"' in report)
    assert "snekhouse.service" in report
    assert f"mounts: the source '{tmp_path}/needed' does not exist" in report
    assert not [report for report in collector.reports if MINE in report]


def test_without_the_setting_nothing_is_sent(fragile: Path, tmp_path: Path, collector: Collector) -> None:
    with running_server(fragile, tmp_path / "log") as server:
        (tmp_path / "needed").rmdir()
        assert server.client.post("/eval", json={"input": ""}).json()["status"] == "internal_error"
    assert not collector.reports


def test_what_is_no_dsn_is_refused_with_what_one_looks_like(small: Path) -> None:
    said = refused(snekhouse("serve", "--registry", small, env={"SNEKHOUSE_SENTRY_DSN": "sentry"}))
    assert "SNEKHOUSE_SENTRY_DSN is not a Sentry DSN" in said
    assert "https://KEY@HOST/NUMBER" in said

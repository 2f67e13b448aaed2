"""What Prometheus reads, however it asks."""

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"

PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;"
    "q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
ASKED = {
    "": TEXT,
    "*/*": TEXT,
    "text/plain": TEXT,
    "text/plain; version=0.0.4": TEXT,
    "application/json": TEXT,
    "application/openmetrics-text": OPEN,
    "application/openmetrics-text; version=1.0.0": OPEN,
    PROMETHEUS_3: OPEN,
    "text/plain; version=bogus": TEXT,
    "text/plain; version=1.0.0; escaping=bogus": TEXT,
    "application/openmetrics-text; version=bogus": OPEN,
    "application/openmetrics-text; version=1.x.0": OPEN,
    "application/openmetrics-text; version=9.9.9": OPEN,
    "application/openmetrics-text; version=1.0.0; escaping=bogus": OPEN,
    f"text/plain; version={'9' * 5_000}": TEXT,
}


def samples(answer: httpx.Response) -> set[str]:
    return {line.split(" ")[0] for line in answer.text.splitlines() if line.startswith("snekhouse_runtime_up")}


@pytest.mark.parametrize(("accept", "kind"), ASKED.items(), ids=[key[:50] for key in ASKED])
def test_metrics_are_told_in_one_of_two_formats(client: httpx.Client, accept: str, kind: str) -> None:
    answer = client.get("/metrics", headers={"Accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert samples(answer)


parts = st.sampled_from(
    ["text/plain", "application/openmetrics-text", "*/*", "version", "escaping", "q", "=", ";", ",", " ", "1.0.0", '"']
)
headers = st.lists(parts | st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=5)).map("".join)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(accept=headers)
def test_no_header_makes_it_fail(client: httpx.Client, accept: str) -> None:
    answer = client.get("/metrics", headers={"Accept": accept.strip()})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith((TEXT, OPEN))

"""What is told of a body that does not fit, however much is wrong with it."""

import json
import tracemalloc

import pytest
from pydantic import ValidationError

from snekhouse.web.eval_request import EvalRequest
from snekhouse.web.explaining import explained


def _told(count: int) -> tuple[tuple[str, str], int]:
    """Explain a body with so many unknown limits; return also the most memory that this takes, in bytes."""
    body = json.dumps({"input": "", "limits": {f"unknown{number}": 0 for number in range(count)}}).encode()
    with pytest.raises(ValidationError) as caught:
        EvalRequest.model_validate_json(body)
    tracemalloc.start()
    try:
        return explained(caught.value, EvalRequest, body), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_the_first_problems_are_listed_and_the_others_counted() -> None:
    (title, description), _ = _told(12)
    assert title == "Request data failed validation"
    assert description.count("limits.unknown") == 10
    assert description.endswith("; and 2 more")


def test_many_problems_are_only_counted_which_takes_no_memory() -> None:
    told, memory = _told(100_000)
    assert told == (
        "Request data failed validation",
        "100000 fields are wrong or unknown; GET /openapi.json describes them all",
    )
    assert memory < 100_000

"""Clients that others' tools generate from the description, each used with the real server."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from serving import Server

_TOOLS = Path(sys.executable).parent

_OPENAPI_PYTHON_CLIENT = """
import sys
from generated import Client
from generated.api.evaluations import evaluate, evaluate_in
from generated.models import EvalRequest, FileIn, LimitsIn

client = Client(base_url=sys.argv[1])
answer = evaluate.sync(client=client, body=EvalRequest(input_="print(1)"))
assert (answer.stdout, answer.returncode, answer.status, answer.error) == ("1\\n", 0, "ok", None), answer
failed = evaluate.sync(client=client, body=EvalRequest(input_="1/0"))
assert (failed.error.name, failed.error.value, failed.error.line) == ("ZeroDivisionError", "division by zero", 1), failed
script = EvalRequest(args=["main.py"], files=[FileIn(path="main.py", content="cHJpbnQoMik=")], limits=LimitsIn(wall_time=2))
answer = evaluate_in.sync(sys.argv[2], client=client, body=script)
assert (answer.stdout, answer.limits.wall_time) == ("2\\n", 2.0), answer
refused = evaluate.sync(client=client, body=EvalRequest())
assert refused.title == "Request data failed validation", refused
"""

_DATAMODEL_CODE_GENERATOR = """
import sys
import httpx
from generated import EvalRequest, EvalResponse, FileIn, LimitsIn

def post(path, request, **options):
    answer = httpx.post(sys.argv[1] + path, json=request.model_dump(mode="json", **options), timeout=60)
    assert answer.status_code == 200, answer.text
    return EvalResponse.model_validate(answer.json())

assert post("/eval", EvalRequest(input="print(1)")).stdout == "1\\n"
assert post("/eval", EvalRequest(input="print(1)")).error is None
assert post("/eval", EvalRequest(input="1/0")).error.name == "ZeroDivisionError"
assert post("/eval", EvalRequest(input="print(1)", limits=LimitsIn(wall_time=2))).limits.wall_time == 2
script = EvalRequest(args=["main.py"], files=[FileIn(path="main.py", content="cHJpbnQoMik=")])
assert post("/eval/" + sys.argv[2], script, exclude_unset=True).stdout == "2\\n"
"""


def _openapi_python_client(description: Path, folder: Path) -> None:
    command: list[str | Path] = [_TOOLS / "openapi-python-client", "generate", "--path", description]
    _run([*command, "--meta", "none", "--output-path", folder / "generated"], folder)


def _datamodel_code_generator(description: Path, folder: Path) -> None:
    command: list[str | Path] = [_TOOLS / "datamodel-codegen", "--input-file-type", "openapi", "--input", description]
    _run([*command, "--output-model-type", "pydantic_v2.BaseModel", "--output", folder / "generated.py"], folder)


def _run(command: list[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("generate", "program"),
    [
        pytest.param(_openapi_python_client, _OPENAPI_PYTHON_CLIENT, id="openapi-python-client"),
        pytest.param(_datamodel_code_generator, _DATAMODEL_CODE_GENERATOR, id="datamodel-code-generator"),
    ],
)
def test_a_generated_client_evaluates(
    server: Server, tmp_path: Path, generate: Callable[[Path, Path], None], program: str
) -> None:
    description = tmp_path / "openapi.json"
    description.write_bytes(server.client.get("/openapi.json").content)
    generate(description, tmp_path)
    (tmp_path / "program.py").write_text(program)
    runtime = server.client.get("/runtimes").json()["runtimes"][0]["name"]
    _run([sys.executable, "program.py", str(server.client.base_url).rstrip("/"), runtime], tmp_path)

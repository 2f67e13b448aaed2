"""What a request may hold: the first section of the contract."""

import base64
import json
from typing import Any

import pytest

from contract.snekbox_client import SnekboxClient, upload
from snekhouse.registry.models import Registry

ARGV = "import sys; print(sys.argv)"


def test_input_alone_is_run_with_c(snekbox: SnekboxClient) -> None:
    assert snekbox.prints(ARGV) == "['-c']\n"


def test_args_alone_are_those_of_the_interpreter(snekbox: SnekboxClient) -> None:
    assert snekbox.prints(args=["-c", ARGV, "a", "b c"]) == "['-c', 'a', 'b c']\n"


def test_input_comes_last_of_args(snekbox: SnekboxClient) -> None:
    assert snekbox.prints("last", args=["-c", ARGV, "first"]) == "['-c', 'first', 'last']\n"
    assert snekbox.prints(ARGV, args=["-c"]) == "['-c']\n"
    assert snekbox.prints(ARGV + "; assert False", args=["-O", "-c"]) == "['-c']\n"


def test_one_of_input_and_args_is_required(snekbox: SnekboxClient) -> None:
    assert snekbox.post().status_code == 400
    assert snekbox.post(files=[upload("main.py")]).status_code == 400


def test_leading_empty_args_are_dropped_and_later_ones_stay(snekbox: SnekboxClient) -> None:
    assert snekbox.prints(args=["", "", "-c", ARGV, "", "x", ""]) == "['-c', '', 'x', '']\n"
    assert snekbox.prints("", args=["-c", ARGV, ""]) == "['-c', '', '']\n"
    assert snekbox.prints(ARGV, args=["", "-c"]) == "['-c']\n"


def test_no_args_start_python_with_empty_stdin(snekbox: SnekboxClient) -> None:
    for args in ([], [""], ["", ""]):
        answer = snekbox.run(args=args)
        assert (answer["returncode"], answer["stdout"]) == (0, "")


def test_an_empty_input_is_an_empty_program(snekbox: SnekboxClient) -> None:
    answer = snekbox.run("")
    assert (answer["returncode"], answer["stdout"]) == (0, "")


def test_files_are_written_before_the_start_with_their_folders(snekbox: SnekboxClient) -> None:
    files = [upload("main.py", "import deep.er.module"), upload("deep/er/module.py", "print(__file__[-18:])")]
    assert snekbox.prints(args=["main.py"], files=files) == "deep/er/module.py\n".rjust(19, "/")


def test_the_content_of_a_file_is_optional(snekbox: SnekboxClient) -> None:
    assert snekbox.prints("print(open('x').read() == '')", files=[{"path": "x"}]) == "True\n"


@pytest.mark.parametrize("encode", [base64.encodebytes, lambda raw: base64.b64encode(raw) + b" \r\n\t\n"])
def test_base64_may_have_lines(snekbox: SnekboxClient, encode: Any) -> None:
    content = bytes(range(256))
    files = [{"path": "x", "content": encode(content).decode()}]
    assert snekbox.prints("print(open('x', 'rb').read() == bytes(range(256)))", files=files) == "True\n"


def test_the_program_may_write_to_files_and_folders_it_is_given(snekbox: SnekboxClient) -> None:
    code = "open('a/x', 'a').write('2'); open('a/y', 'w').write('3')"
    assert snekbox.leaves(code, files=[upload("a/x", "1")]) == {"a/x": b"12", "a/y": b"3"}


def test_a_later_file_replaces_an_earlier_one_of_the_same_path(snekbox: SnekboxClient) -> None:
    files = [upload("x", "long and first"), upload("./x", "2nd")]
    assert snekbox.prints("print(open('x').read())", files=files) == "2nd\n"


@pytest.mark.parametrize("path", ["./x", "x/", "a/../x", "a//../x", "./a/./b/../../x/."])
def test_a_path_that_stays_in_the_home_may_be_spelt_in_any_way(snekbox: SnekboxClient, path: str) -> None:
    assert snekbox.prints("print(open('x').read())", files=[upload(path, "1")]) == "1\n"


@pytest.mark.parametrize("path", ["main file.py", "ünï/çødé.py", "a" * 255, "-c", "a\nb", "a\\b", "~", "*"])
def test_a_path_may_have_any_characters(snekbox: SnekboxClient, path: str) -> None:
    code = f"import os; print(os.path.exists({path.encode()!r}))"
    assert snekbox.prints(code, files=[upload(path)]) == "True\n"


def test_executable_path_names_the_runtime(snekbox: SnekboxClient, registry: Registry) -> None:
    code = "import sys; print(tuple(sys.version_info[:2]))"
    assert snekbox.prints(code) == f"{snekbox.version}\n"
    for name in registry.runtimes[snekbox.runtime].executable_names:
        assert snekbox.prints(code, executable_path=name) == f"{snekbox.version}\n"


def test_executables_that_the_peer_has_name_runtimes_here(snekbox: SnekboxClient) -> None:
    tag = ".".join(map(str, snekbox.version))
    code = "import sys; print(tuple(sys.version_info[:2]))"
    assert snekbox.prints(code, executable_path=f"/snekbin/python/{tag}/bin/python") == f"{snekbox.version}\n"


def test_without_executable_path_the_default_runtime_is_meant(snekbox: SnekboxClient, registry: Registry) -> None:
    assert snekbox.client.post("/eval", json={"input": ""}).json()["runtime"] == registry.default


def test_eval_of_a_runtime_is_the_same_without_executable_path(snekbox: SnekboxClient) -> None:
    body = {"input": "import sys; print(sys.version)", "executable_path": "/no/such/python"}
    response = snekbox.client.post(f"/eval/{snekbox.runtime}", json=body)
    assert response.json()["stdout"] == snekbox.prints("import sys; print(sys.version)")


def test_unknown_fields_are_ignored(snekbox: SnekboxClient) -> None:
    assert snekbox.prints("print(1)", nonsense={"a": [None]}) == "1\n"
    assert snekbox.prints("print(1)", files=[{**upload("x"), "mode": 7}]) == "1\n"


@pytest.mark.parametrize("field", ["input", "args", "files", "executable_path"])
def test_an_explicit_null_is_refused(snekbox: SnekboxClient, field: str) -> None:
    assert snekbox.post(**{"input": "", "args": ["-c"], field: None}).status_code == 400


def test_the_query_string_is_ignored(snekbox: SnekboxClient) -> None:
    response = snekbox.client.post("/eval?input=print(2)&runtime=none", json={"input": "print(1)"})
    assert response.json()["stdout"] == "1\n"


@pytest.mark.parametrize("kind", [None, "", "application/json", "Application/JSON ; charset=utf-8"])
def test_no_content_type_counts_as_json(snekbox: SnekboxClient, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    response = snekbox.client.post("/eval", content=b'{"input": "print(1)"}', headers=headers)
    assert response.json()["stdout"] == "1\n"


@pytest.mark.parametrize("kind", ["text/plain", "text/json", "application/jsonp", "application/xml", "*/*"])
def test_any_other_content_type_is_unsupported(snekbox: SnekboxClient, kind: str) -> None:
    response = snekbox.client.post("/eval", content=json.dumps({"input": ""}), headers={"content-type": kind})
    assert response.status_code == 415

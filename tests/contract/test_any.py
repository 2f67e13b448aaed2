"""Whatever a client sends and a program does: what is promised holds for all of it."""

import json
import os
from pathlib import PurePosixPath
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from contract.snekbox_client import SnekboxClient, contents, upload

ONE_SERVER = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

FIELDS = (
    "input",
    "args",
    "files",
    "executable_path",
    "runtime",
    "stdin",
    "separate_stderr",
    "limits",
    "path",
    "content",
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from(("-c", "print(1)", "x", "YQ=="))
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(FIELDS) | st.text(), inner, max_size=5),
    max_leaves=20,
)
ARGS = st.lists(st.text() | st.sampled_from(("-c", "-m", "-X", "-", "-i", "-V", "--help", "x")), max_size=4)
UPLOADS = st.lists(
    st.fixed_dictionaries({"path": st.text(min_size=1)}, optional={"content": st.sampled_from(("", "YQ=="))}),
    max_size=3,
)
LIMITS = st.dictionaries(st.sampled_from(("wall_time", "memory", "processes", "output")), st.integers(1, 9), max_size=2)
VALID = {
    "input": st.text(),
    "args": ARGS,
    "files": UPLOADS,
    "stdin": st.text(),
    "separate_stderr": st.booleans(),
    "limits": LIMITS,
}
FITTING = st.fixed_dictionaries({"input": st.text()}, optional={key: VALID[key] for key in VALID if key != "input"})
PLAUSIBLE = FITTING | st.fixed_dictionaries({}, optional={key: strategy | JSON for key, strategy in VALID.items()})


@ONE_SERVER
@given(body=st.builds(lambda value: json.dumps(value).encode(), FITTING | PLAUSIBLE | JSON) | st.binary())
def test_any_body_is_answered_or_refused(client: httpx.Client, body: bytes) -> None:
    """Never with 500, and always with a complete answer of its kind."""
    response = client.post("/eval", content=body, headers={"content-type": "application/json"})
    answer = response.json()
    event(f"answered with {response.status_code}")
    if response.status_code == 200:
        assert {"stdout", "returncode", "files", "status"} <= set(answer)
        assert answer["status"] != "internal_error"
    else:
        assert response.status_code == 400
        assert set(answer) == {"title", "description"}


@ONE_SERVER
@given(body=st.builds(lambda value: json.dumps(value).encode(), PLAUSIBLE), kind=st.text(st.characters(codec="ascii")))
def test_any_media_type_is_answered_or_refused(client: httpx.Client, body: bytes, kind: str) -> None:
    try:
        response = client.post("/eval", content=body, headers={"content-type": kind})
    except httpx.LocalProtocolError:  # no such header can be sent
        return
    assert response.status_code in {200, 400, 415}


@ONE_SERVER
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from((1, 2)), st.text(min_size=1) | st.text("\r\n\0x", min_size=1)), max_size=20
    )
)
def test_any_output_comes_back_whole_and_in_order(client: httpx.Client, pieces: list[tuple[int, str]]) -> None:
    written = [(stream, text.encode()) for stream, text in pieces]
    body: dict[str, Any] = {"input": f"import os\nfor stream, text in {written}: os.write(stream, text)"}
    assert client.post("/eval", json=body).json()["stdout"] == "".join(text for _, text in pieces)
    apart = client.post("/eval", json={**body, "separate_stderr": True}).json()
    for stream, key in ((1, "stdout"), (2, "stderr")):
        assert apart[key] == "".join(text for where, text in pieces if where == stream)


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 65_535, 65_536, 65_537, 999_999, 1_000_000])
def test_output_of_any_size_to_the_limit_loses_no_byte(snekbox: SnekboxClient, size: int) -> None:
    code = f"import os\nleft = bytes(33 + n % 90 for n in range({size}))\nwhile left: left = left[os.write(1, left):]"
    answer = snekbox.run(code)
    assert answer["stdout"] == bytes(33 + n % 90 for n in range(size)).decode()
    assert (answer["returncode"], answer["truncated"]) == (0, False)


NAMES = st.sampled_from(("a", "b", ".h", "_u", "x.py", "é", "a b"))
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
TREES = st.dictionaries(
    PATHS, st.binary(max_size=20) | st.tuples(st.sampled_from(("", "/home/", "../")), PATHS), max_size=12
)


def possible(tree: dict[str, Any]) -> dict[str, Any]:
    """Leave out what has to lie in something that is not a folder."""
    return {path: node for path, node in tree.items() if not any(str(up) in tree for up in PurePosixPath(path).parents)}


def expected(tree: dict[str, Any], uploads: dict[str, bytes]) -> dict[str, bytes]:
    """Say what comes back, by other means than the server: paths are normalised as text, since no folder is a link."""
    found: dict[str, bytes] = {}
    for path in sorted({**uploads, **tree}):
        names = path.split("/")
        if names[-1][0] in "_." or any(name[0] == "." for name in names) or (path in uploads and path not in tree):
            continue
        node, at = tree[path], path
        for _ in range(40):
            if not isinstance(node, tuple):
                break
            prefix, target = node
            at = os.path.normpath(os.path.join("/home", os.path.dirname(at), prefix + target))  # noqa: PTH118, PTH120
            at = at.removeprefix("/home/") if at.startswith("/home/") else ""
            node = tree.get(at, uploads.get(at))
        if isinstance(node, bytes):
            found[path] = node
    return found


@ONE_SERVER
@given(tree=TREES.map(possible), uploads=st.dictionaries(PATHS, st.binary(max_size=20), max_size=4))
def test_any_tree_of_files_and_links_comes_back_as_promised(
    client: httpx.Client, tree: dict[str, Any], uploads: dict[str, bytes]
) -> None:
    uploads = {path: content for path, content in uploads.items() if path in possible({**tree, **uploads})}
    tree = {path: node for path, node in tree.items() if path in possible({**tree, **uploads})}
    code = (
        f"import os\nfor path, node in {tree}.items():\n"
        "  if '/' in path: os.makedirs(os.path.dirname(path), exist_ok=True)\n"
        "  if os.path.lexists(path): os.remove(path)\n"
        "  if isinstance(node, tuple): os.symlink(''.join(node), path)\n"
        "  else: open(path, 'wb').write(node)"
    )
    body = {"input": code, "files": [upload(path, content) for path, content in uploads.items()]}
    answer = client.post("/eval", json=body).json()
    assert (answer["returncode"], answer["stdout"]) == (0, "")
    found = contents(answer)
    assert found == expected(tree, uploads)
    assert list(found) == sorted(found)

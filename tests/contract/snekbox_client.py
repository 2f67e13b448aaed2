"""A snekbox client, as its users write one: all it knows is the URL and the path of an executable."""

import base64
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class SnekboxClient:
    """A client of one runtime.

    Attributes:
        client: A client of the server.
        executable: What it sends as `executable_path`.
        version: Version of that Python.
        runtime: Its name.
    """

    client: httpx.Client
    executable: str
    version: tuple[int, ...]
    runtime: str

    def post(self, **body: Any) -> httpx.Response:
        """Post a body as JSON."""
        return self.client.post("/eval", json={"executable_path": self.executable, **body})

    def run(self, code: str | None = None, **body: Any) -> dict[str, Any]:
        """Evaluate a program; tell what came of it."""
        response = self.post(**({} if code is None else {"input": code}), **body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def prints(self, code: str | None = None, **body: Any) -> str:
        """Evaluate a program; tell what it printed."""
        stdout: str = self.run(code, **body)["stdout"]
        return stdout

    def leaves(self, code: str, **body: Any) -> dict[str, bytes]:
        """Evaluate a program; tell which files came back, in order, and what they hold."""
        return contents(self.run(code, **body))


def upload(path: str, content: bytes | str = b"") -> dict[str, str]:
    """Make an item of `files`."""
    raw = content.encode() if isinstance(content, str) else content
    return {"path": path, "content": base64.b64encode(raw).decode()}


def contents(answer: dict[str, Any]) -> dict[str, bytes]:
    """Decode the files of an answer, and check their sizes."""
    found = {file["path"]: base64.b64decode(file["content"], validate=True) for file in answer["files"]}
    assert [file["size"] for file in answer["files"]] == [len(content) for content in found.values()]
    return found

"""Attacks on a jail from inside: each is a program that says in its last line whether it got through."""

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

PREAMBLE = """
import ctypes, errno, os, socket, sys
_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

def call(number, *arguments):
    wide = [each if isinstance(each, (bytes, ctypes.Array, ctypes.Structure)) else ctypes.c_long(each) for each in arguments]
    result = _libc.syscall(ctypes.c_long(number), *wide)
    if result == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def attempt(action, *shut):
    # With no errors named, any says that it is refused.
    try:
        got = action()
    except (OSError, MemoryError, ValueError) as error:
        code = errno.errorcode.get(getattr(error, 'errno', None), type(error).__name__)
        print('shut' if not shut or getattr(error, 'errno', None) in shut else 'open', code)
    else:
        print('open', got)

"""


@dataclass(frozen=True)
class Prison:
    """A runtime to break out of.

    Attributes:
        client: A client of its server.
        name: The runtime.
        in_session: Whether programs are cells of a session of their own, and not evaluations.
    """

    client: httpx.Client
    name: str
    in_session: bool = False

    def run(self, program: str, **more: Any) -> dict[str, Any]:
        """Run a program as it is."""
        if self.in_session:
            return self._run_in_session(program, **more)
        response = self.client.post(f"/eval/{self.name}", json={"input": program, **more})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def _run_in_session(self, program: str, **more: Any) -> dict[str, Any]:
        made = self.client.post("/sessions", json={"runtime": self.name, "limits": more.pop("limits", None)})
        assert made.status_code == 201, made.text
        route = f"/sessions/{made.json()['id']}"
        response = self.client.post(f"{route}/eval", json={"input": program, **more})
        assert response.status_code == 200, response.text
        self.client.delete(route)
        answer: dict[str, Any] = response.json()
        return answer

    def attack(self, program: str, **more: Any) -> None:
        """Run an attack, and fail unless it says that it was refused."""
        answer = self.run(PREAMBLE + program, **more)
        last = answer["stdout"].strip().splitlines()[-1:]
        assert last, f"the attack said nothing: {answer}"
        assert last[0].startswith("shut "), answer["stdout"][-2000:]


def table(attacks: dict[str, str]) -> pytest.MarkDecorator:
    """Make a test case of each attack, by its name."""
    return pytest.mark.parametrize("program", attacks.values(), ids=attacks.keys())

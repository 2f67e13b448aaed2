"""``snekhouse eval --interactive``: a program on a server, with the terminal as its input and output."""

import codecs
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI
from websockets.sync.client import ClientConnection, connect

from snekhouse.cli.output import print_bytes, say
from snekhouse.errors import RemoteError, UsageError
from snekhouse.jail.verdict import JAIL_FAILED

_OPEN_TIMEOUT_S = 10.0
_PIECE = 1 << 15
"""Bytes of standard input that are read at once."""


def hold_conversation(url: str, runtime: str, request: Mapping[str, Any]) -> int:
    """Evaluate a program on a server; pass on standard input and Ctrl-C, and print its output as it comes.

    Args:
        url: URL of the server.
        runtime: Name or alias of a runtime; empty for the server's default.
        request: The request, as for ``POST /eval``.

    Returns:
        The exit code of the program.

    Raises:
        UsageError: The URL cannot be used.
        RemoteError: The server does not answer, or refuses the program.
    """
    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is not the URL of a server; write http://HOST:PORT")
    address = f"ws{url.removeprefix('http').rstrip('/')}/eval"
    try:
        runtime = runtime or _default_of(url)
        with connect(f"{address}/{runtime}/interactive", open_timeout=_OPEN_TIMEOUT_S, max_size=None) as client:
            _send(client, request)
            threading.Thread(target=_send_input, args=(client,), daemon=True).start()
            signal.signal(signal.SIGINT, lambda *_: _send(client, {"signal": "SIGINT"}))
            return _print_events(client)
    except (OSError, InvalidHandshake, InvalidURI, TimeoutError, httpx.HTTPError, ValueError, KeyError) as error:
        raise RemoteError(f"no valid answer from {url}: {error}; start the server, or correct --url") from error
    except ConnectionClosed as error:
        raise RemoteError(f"{url} closed the connection before the program ended: {error}; its log says why") from error


def _default_of(url: str) -> str:
    """Ask a server for its default runtime."""
    answer = httpx.get(f"{url.rstrip('/')}/runtimes", timeout=_OPEN_TIMEOUT_S).raise_for_status()
    return next(str(runtime["name"]) for runtime in answer.json()["runtimes"] if runtime["default"])


def _send_input(client: ClientConnection) -> None:
    """Pass on standard input until its end, in a thread of its own."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with suppress(OSError):
        while piece := os.read(sys.stdin.fileno(), _PIECE):
            _send(client, {"stdin": decoder.decode(piece)})
    _send(client, {"stdin": None})


def _send(client: ClientConnection, message: Mapping[str, Any]) -> None:
    with suppress(ConnectionClosed):
        client.send(json.dumps(message))


def _print_events(client: ClientConnection) -> int:
    """Print output until the program ends; return its exit code.

    Raises:
        RemoteError: The server refuses the program.
    """
    for received in client:
        event = json.loads(received)
        match event["event"]:
            case "stdout":
                print_bytes(event["text"].encode(), sys.stdout)
            case "stderr":
                print_bytes(event["text"].encode(), sys.stderr)
            case "error":
                say(event["error"]["description"])
            case "end" if "error" in event and "status" not in event:
                raise RemoteError(f"the server refused the program: {event['error']['description']}")
            case "end":
                if event["message"]:
                    say(event["message"])
                return JAIL_FAILED if event["returncode"] is None else int(event["returncode"])
    raise RemoteError("the server closed the connection before the program ended; its log says why")

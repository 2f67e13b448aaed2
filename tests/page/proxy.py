"""Proxies that pass requests on, but no WebSocket: some refuse it, others never answer."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import BaseRequestHandler, ThreadingTCPServer

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@contextmanager
def proxy(port: int, *, is_silent: bool) -> Iterator[str]:
    """Run a proxy for a server on this machine, and yield its URL.

    Args:
        port: The port of the server.
        is_silent: Whether requests for a WebSocket get no answer; otherwise they get 403.
    """

    class Connection(BaseRequestHandler):
        def handle(self) -> None:
            client: socket.socket = self.request
            first = client.recv(1 << 16)
            if b"upgrade: websocket" in first.lower():
                if is_silent:
                    client.recv(1)  # until it gives up
                else:
                    client.sendall(REFUSAL)
                return
            with socket.create_connection(("127.0.0.1", port)) as server:
                server.sendall(first)
                back = threading.Thread(target=_pass_on, args=(server, client))
                back.start()
                _pass_on(client, server)
                back.join()

    class Proxy(ThreadingTCPServer):
        daemon_threads = True

    with Proxy(("127.0.0.1", 0), Connection) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_address[1]}"
        listening.shutdown()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    """Pass bytes on until the source ends."""
    with suppress(OSError):
        while piece := source.recv(1 << 16):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)

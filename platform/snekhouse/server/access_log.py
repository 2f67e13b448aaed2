"""The access log: one event for each request that was answered, through the same log as all else."""

from hypercorn.logging import Logger
from hypercorn.typing import ResponseSummary, WWWScope

_QUIET = {"/healthz", "/readyz", "/metrics"}
"""What machines ask for all day: logged for debugging only."""


class AccessLog(Logger):
    """Hypercorn's logger, with requests as events with fields; query and headers, which may hold secrets, left out."""

    async def access(self, request: WWWScope, response: ResponseSummary | None, request_time: float) -> None:
        """Log a request.

        Args:
            request: The ASGI scope.
            response: What was answered; None when the client had gone.
            request_time: Seconds from its first byte to the answer's last.
        """
        if self.access_logger is None or request["type"] != "http":
            return
        log = self.access_logger.debug if request["path"] in _QUIET else self.access_logger.info
        client = request.get("client")
        fields = {
            "client": client[0] if client else None,
            "method": request["method"],
            "path": request["raw_path"].partition(b"?")[0].decode("ascii", "backslashreplace"),
            "http_status": int(response["status"]) if response else None,
            "seconds": round(request_time, 6),
        }
        log("request", extra=fields)

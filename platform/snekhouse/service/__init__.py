"""The service prepares runtimes, keeps fork servers up, and admits and runs evaluations. It does not know HTTP.

Start with `Service.evaluate` in `service`. `opening` composes a service at the start, `preparing` prepares a runtime,
`supervisor` keeps its fork server up, `admission` decides which evaluation runs next, `sessions` keeps interpreters
from one request to the next, and `reloading` reloads the registry when its file changes.
"""

from snekhouse.service.opening import open_service
from snekhouse.service.reloading import Reload, Reloader
from snekhouse.service.runtime_state import RuntimeState
from snekhouse.service.service import Service
from snekhouse.service.session import Session
from snekhouse.service.sessions import Sessions, opened_sessions

__all__ = [
    "Reload",
    "Reloader",
    "RuntimeState",
    "Service",
    "Session",
    "Sessions",
    "open_service",
    "opened_sessions",
]

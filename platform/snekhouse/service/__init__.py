"""The service keeps runtimes prepared and fork servers up, admits evaluations and runs them. It knows no HTTP.

Start with `service`, whose `Service.evaluate` is the way of an evaluation. `opening` composes a service at the start;
`preparing` makes a runtime ready, `supervisor` keeps its fork server up, `admission` decides whose turn it is, and
`reloading` follows the registry's file.
"""

from snekhouse.service.event_loop import measure_lag
from snekhouse.service.opening import open_service
from snekhouse.service.reloading import Reload, Reloader
from snekhouse.service.runtime_state import RuntimeState
from snekhouse.service.service import Service

__all__ = ["Reload", "Reloader", "RuntimeState", "Service", "measure_lag", "open_service"]

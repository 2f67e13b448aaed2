"""The house: keeps runtimes ready, admits, evaluates, drains. The heart of the service; it knows no HTTP."""

from snekhouse.house.house import House
from snekhouse.house.installation import Ready
from snekhouse.house.lag import measure_lag
from snekhouse.house.opening import open_house
from snekhouse.house.reloading import Reload, Reloader
from snekhouse.house.worker import Worker

__all__ = ["House", "Ready", "Reload", "Reloader", "Worker", "measure_lag", "open_house"]

"""The house: keeps runtimes ready, admits, evaluates, drains. The heart of the service; it knows no HTTP."""

from snekhouse.house.house import House, Ready
from snekhouse.house.opening import open_house

__all__ = ["House", "Ready", "open_house"]

"""Plot benchmarks: the cost of an evaluation, the evaluations per second, and how cost grows with work."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

_COLOURS = {"python -c pass": "#9aa5b1", "plain nsjail": "#5f6c7b", "cold": "#e08e45", "fork": "#2a7f62"}
_WIDTH = 0.8

_WIDE = 20
"""Factor between the longest and the shortest time from which an axis is logarithmic."""


def plot(path: Path, title: str, latency: Mapping[str, Sequence[float]], rate: Mapping[str, Sequence[float]],
         names: Sequence[str]) -> None:  # fmt: skip
    """Draw two rows of bars.

    Args:
        path: The PNG file to write.
        title: The title: the program and the machine.
        latency: Milliseconds in each runtime, by the name of the measurement.
        rate: Evaluations per second in each runtime, by the way to start.
        names: The names of the runtimes.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 6.5), layout="constrained")
    _bars(above, latency, names, "median, milliseconds")
    _bars(below, rate, names, "evaluations per second, 8 clients")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _bars(axes: Axes, series: Mapping[str, Sequence[float]], names: Sequence[str], label: str) -> None:
    each = _WIDTH / len(series)
    for place, (name, values) in enumerate(series.items()):
        left = [index - _WIDTH / 2 + each * (place + 0.5) for index in range(len(names))]
        bars = axes.bar(left, values, each * 0.92, label=name, color=_COLOURS[name])
        axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=1)
    axes.set_xticks(range(len(names)), [f"Python {name}" for name in names], fontsize=8)
    axes.set_ylabel(label, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.12)
    axes.legend(fontsize=8, frameon=False, ncols=len(series), loc="upper center", bbox_to_anchor=(0.5, 1.14))


def curves(path: Path, found: Mapping[str, tuple[str, Mapping[int, float]]]) -> None:
    """Draw a curve for each measurement. Times that differ by more than a factor of 20 have a logarithmic axis.

    Args:
        path: The PNG file to write.
        found: By title: what is counted, and milliseconds by size.
    """
    rows = (len(found) + 1) // 2
    figure, places = plt.subplots(rows, 2, figsize=(9, 2.6 * rows), layout="constrained")
    for axes, (title, (unit, taken)) in zip(places.flat, found.items(), strict=False):
        axes.plot(list(taken), list(taken.values()), marker="o", color=_COLOURS["fork"])
        axes.set_xscale("log")
        axes.set_xticks(list(taken), [short(size) for size in taken], fontsize=8)
        axes.minorticks_off()
        if max(taken.values()) > _WIDE * min(taken.values()):
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter("{x:,g}")
        else:
            axes.set_ylim(0, 1.25 * max(taken.values()))
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(unit, fontsize=8)
        axes.set_ylabel("ms", fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(visible=True, which="major", color="#e0e4e8")
    for axes in list(places.flat)[len(found) :]:
        axes.set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def short(size: int) -> str:
    """Write a size with the prefix Ki or Mi, if it has as many."""
    for unit, name in ((1 << 20, "Mi"), (1 << 10, "Ki")):
        if size >= unit:
            return f"{size // unit} {name}"
    return f"{size:,}"

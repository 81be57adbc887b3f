"""`python plot.py <directory of results> <directory>`: a plot of each benchmark that is there; needs matplotlib."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

Json = dict[str, Any]

_COLOURS: Final = {
    "ours": "#1b6ca8",
    "oracle": "#000000",
    "static": "#8a8f98",
    "hpa": "#d1495b",
    "keda": "#edae49",
    "kpa": "#66a182",
    "ray-serve": "#8d5a97",
    "ray-serve-quick": "#b79ac8",
    "aibrix-apa": "#2e933c",
    "llm-d-wva": "#c46d3b",
    "dynamo": "#00798c",
}
_SHOWN: Final = (1e-4, 0.3)


def curves(result: Json) -> Figure:
    """Share of requests that were late against GPU-hours, a row per workload, a column per cold start."""
    cells = result["cells"]
    names = list(dict.fromkeys(cell["case"] for cell in cells))
    colds = sorted({cell["cold_start_s"] for cell in cells})
    figure = Figure(figsize=(3.4 * len(colds), 2.6 * len(names) + 0.6), layout="constrained")
    panels = figure.subplots(len(names), len(colds), squeeze=False)
    for cell in cells:
        axes = panels[names.index(cell["case"])][colds.index(cell["cold_start_s"])]
        _draw_curves(axes, cell)
    handles = [mpl.lines.Line2D([], [], color=colour, label=name) for name, colour in _COLOURS.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=6, fontsize=8, frameon=False)
    return figure


def _draw_curves(axes: Axes, cell: Json) -> None:
    for name, points in cell["curves"].items():
        ordered = sorted(points, key=lambda point: point["gpu_hours"])
        late = [max(1 - point["attainment"], _SHOWN[0]) for point in ordered]
        hours = [point["gpu_hours"] for point in ordered]
        axes.plot(hours, late, "o-", markersize=2.5, linewidth=1.6 if name == "ours" else 0.9, color=_COLOURS[name])
    known = [at["hours"] for at in cell["compared"]["at_aim"].values()]
    axes.set_xlim(0, 2.5 * min(known) if known else None)
    axes.set_ylim(*_SHOWN)
    axes.set_yscale("log")
    axes.axhline(0.01, color="#bbbbbb", linewidth=0.8)
    axes.set_title(f"{cell['case']}, cold start {cell['cold_start_s']:.0f} s", fontsize=8)
    axes.set_xlabel("GPU-hours of a run", fontsize=7)
    axes.set_ylabel("late", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def hours(result: Json) -> Figure:
    """GPU-hours at 99 % in time over the oracle's, a panel per workload; who is missing did not reach it."""
    cells = result["cells"]
    names = list(dict.fromkeys(cell["case"] for cell in cells))
    figure = Figure(figsize=(2.3 * len(names), 3.2), layout="constrained")
    for name, axes in zip(names, figure.subplots(1, len(names), squeeze=False)[0], strict=True):
        _draw_hours(axes, name, [cell for cell in cells if cell["case"] == name])
    handles = [mpl.lines.Line2D([], [], marker="o", color=colour, label=name) for name, colour in _COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=6, fontsize=8, frameon=False)
    return figure


def _draw_hours(axes: Axes, name: str, cells: list[Json]) -> None:
    for policy, colour in _COLOURS.items():
        found = [
            (cell["cold_start_s"], at[policy]["hours"] / at["oracle"]["hours"])
            for cell in cells
            if policy in (at := cell["compared"]["at_aim"]) and "oracle" in at
        ]
        if found:
            axes.plot(
                *zip(*found, strict=True), "o-", markersize=3, linewidth=1.6 if policy == "ours" else 0.8, color=colour
            )
    axes.set_xscale("log")
    axes.set_ylim(0.8, 4)
    axes.set_title(name, fontsize=9)
    axes.set_xlabel("cold start (s)", fontsize=7)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


def reality(result: Json) -> Figure:
    """A burst on the cluster over the same one in the model: requests that wait or run, and machines."""
    figure = Figure(figsize=(8, 4.6), layout="constrained")
    queue, replicas = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    for name, colour in (("model", _COLOURS["static"]), ("real", _COLOURS["ours"])):
        curve = result[name]
        queue.plot(curve["outstanding"], color=colour, linewidth=1.2, label=name)
        replicas.step(range(len(curve["up"])), curve["up"], color=colour, linewidth=1.4, where="post")
        replicas.step(
            range(len(curve["up"])), curve["machines"], color=colour, linewidth=0.8, linestyle=":", where="post"
        )
    queue.set_ylabel("requests not answered", fontsize=8)
    queue.legend(frameon=False, fontsize=8)
    replicas.set_ylabel("replicas up, and\nordered (dotted)", fontsize=8)
    replicas.set_xlabel("seconds", fontsize=8)
    for axes in (queue, replicas):
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


_PLOTS: Final = {"autoscaling": {"curves": curves, "hours": hours}, "autoscaling-reality": {"burst": reality}}


def main() -> None:
    """The same bytes for the same figures."""
    results, directory = Path(sys.argv[1]), Path(sys.argv[2])
    mpl.rcParams["svg.hashsalt"] = "autoscaling"
    for benchmark, plots in _PLOTS.items():
        path = results / f"{benchmark}.json"
        if not path.is_file():
            continue
        for name, draw in plots.items():
            figure = draw(json.loads(path.read_text()))
            figure.savefig(directory / f"autoscaling-{name}.svg", format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()

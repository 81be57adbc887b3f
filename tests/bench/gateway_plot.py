"""The plot of a gateway.json: `python gateway_plot.py <gateway.json> <gateway.svg>`; runs where matplotlib is."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

Json = dict[str, Any]

_ORDER: Final = ("direct", "nginx", "haproxy", "ours", "vllm-router", "smg", "litellm")
_COLOURS: Final = {"ours": "#1b6ca8", "direct": "#bbbbbb"}
_OTHER: Final = "#8a8f98"


def draw(result: Json) -> Figure:
    """Requests/s, what each adds to the median latency, and what it adds to an event of a stream; logarithmic."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    panels = (
        ("requests/s, 1 KB, 32 at once", "1k_0ms_32", "rps", 1.0),
        ("added to p50, 1 KB, 1 at once (ms)", "1k_0ms_1", "added_p50_us", 1000.0),
        ("added to an event, 32 streams, p99 (ms)", "stream_32", "added_transit_p99_us", 1000.0),
    )
    for axes, (title, cell, field, unit) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        values = {name: _value(result, name, cell, field) / unit for name in _ORDER}
        shown = {name: value for name, value in values.items() if value > 0}
        bars = axes.barh(list(shown), list(shown.values()), color=[_COLOURS.get(name, _OTHER) for name in shown])
        axes.bar_label(
            bars, fmt=lambda value: f"{value:,.0f}" if value >= 10 else f"{value:.3g}", padding=3, fontsize=8
        )
        axes.set_xscale("log")
        axes.margins(x=0.25)
        axes.invert_yaxis()
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def _value(result: Json, name: str, cell: str, field: str) -> float:
    return float(result["cells"].get(f"{name}.{cell}", {}).get(field, 0))


def main() -> None:
    """Reads the first file, writes the second, the same bytes for the same figures."""
    source, target = map(Path, sys.argv[1:3])
    mpl.rcParams["svg.hashsalt"] = "gateway"
    draw(json.loads(source.read_text())).savefig(target, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()

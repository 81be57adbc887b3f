"""The plot of a control_plane.json: `python plot.py <json> <svg>`; runs where matplotlib is."""

import json
import sys
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.figure import Figure

Json = dict[str, Any]

_COLOURS: Final = {"floor": "#bbbbbb", "naive": "#8a8f98", "go": "#c4823a", "ours": "#1b6ca8"}
_PANELS: Final = (
    ("LLMServices/s until all children are made", "rate"),
    ("LLMServices for each second of its CPU", "per_cpu_second"),
    ("writes for each LLMService, Events apart", "writes_per_service"),
    ("resident memory (MB)", "rss_mb"),
)


def draw(result: Json) -> Figure:
    """Each figure at each size that was run, an operator beside the other; what was not measured is left out."""
    runs = result["runs"]
    sizes = sorted({int(size) for by_size in runs.values() for size in by_size})
    figure = Figure(figsize=(12, 3.2), layout="constrained")
    for axes, (title, field) in zip(figure.subplots(1, len(_PANELS)), _PANELS, strict=True):
        for place, (name, colour) in enumerate(_COLOURS.items()):
            values = [runs[name].get(str(size), {}).get(field, 0) for size in sizes]
            bars = axes.bar([at + 0.2 * place for at in range(len(sizes))], values, 0.19, color=colour, label=name)
            axes.bar_label(bars, fmt=lambda value: f"{value:.3g}" if value else "", padding=2, fontsize=6)
        axes.set_xticks([at + 0.3 for at in range(len(sizes))], [f"{size:,}" for size in sizes])
        axes.set_title(title, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=len(_COLOURS), fontsize=8)
    return figure


def main() -> None:
    """Reads the first file, writes the second, the same bytes for the same figures."""
    source, target = map(Path, sys.argv[1:3])
    mpl.rcParams["svg.hashsalt"] = "control-plane"
    draw(json.loads(source.read_text())).savefig(target, format="svg", metadata={"Date": None})


if __name__ == "__main__":
    main()

"""What QUICK asks of the benchmarks that take it for a switch."""

from collections.abc import Mapping


def is_quick(environment: Mapping[str, str]) -> bool:
    """Whether QUICK=1; raises ValueError for what is no yes and no no."""
    asked = environment.get("QUICK", "")
    if asked not in ("", "0", "1"):
        raise ValueError(f"QUICK={asked}: give 1, or leave it out")
    return asked == "1"

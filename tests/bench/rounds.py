"""How many rounds a benchmark asks its targets."""

from collections.abc import Mapping

from hack.cluster.failure import ClusterError


def rounds(environment: Mapping[str, str], usual: int) -> int:
    """What ROUNDS says, `usual` without it; raises ClusterError for what is no number of rounds."""
    text = environment.get("ROUNDS", "") or str(usual)
    if not text.isdecimal() or int(text) < 1:
        raise ClusterError(f"ROUNDS must be a number of rounds such as {usual}, not {text!r}")
    return int(text)

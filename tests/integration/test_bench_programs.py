"""The Go programs of the benchmarks, which nothing else builds: a figure must not be the first to find one broken."""

from pathlib import Path

import pytest

from hack.cluster.cache import REPOSITORY
from hack.cluster.progress import Steps
from tests.bench.programs import built

PROGRAMS = sorted(file.parent for file in (REPOSITORY / "tests/bench").rglob("go.mod"))


@pytest.mark.parametrize("source", PROGRAMS, ids=lambda folder: folder.name)
def test_it_builds(source: Path) -> None:
    assert built(source, Steps()).is_file()
    assert len(PROGRAMS) > 1

"""What the environment asks of the benchmark."""

import pytest

from tests.bench.control_plane.bench import Asked, named, runs

CASES: dict[str, tuple[dict[str, str], list[Asked]]] = {
    "usual": ({}, [Asked(100, 30, 600), Asked(1000), Asked(5000), Asked(10000)]),
    "quick": ({"QUICK": "1"}, [Asked(100, 5, 10), Asked(300)]),
    "profiled": ({"SIZES": "50", "IDLE": "0", "PROFILE": "1"}, [Asked(50, 30, profile=True)]),
    "some sizes": ({"SIZES": "200,50", "IDLE": "3"}, [Asked(50, 30, 3), Asked(200)]),
}


@pytest.mark.parametrize(("environment", "asked"), CASES.values(), ids=CASES)
def test_what_is_run(environment: dict[str, str], asked: list[Asked]) -> None:
    assert runs(environment) == asked


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"SIZES": "100,x"}, "SIZES=100,x: give counts"),
        ({"SIZES": "0"}, "SIZES=0: give counts"),
        ({"IDLE": "-1"}, "IDLE=-1: give whole seconds"),
        ({"QUICK": "yes"}, "QUICK=yes: give 1"),
        ({"PROFILE": "yes"}, "PROFILE=yes: give 1 or 0"),
    ],
)
def test_bad_variables_are_named(environment: dict[str, str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        runs(environment)


def test_who_is_run() -> None:
    assert [make.name for make in named({})] == ["floor", "naive", "go", "ours"]
    assert [make.name for make in named({"ONLY": "ours,floor"})] == ["floor", "ours"]
    with pytest.raises(ValueError, match="ONLY: there is no rust; name some of floor, naive, go, ours"):
        named({"ONLY": "rust"})

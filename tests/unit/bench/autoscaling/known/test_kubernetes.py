import pytest

from tests.bench.autoscaling.known.kubernetes import Behaviour, HpaOnRunning, KedaOnWaiting, of_external, of_pods
from tests.unit.bench.autoscaling.fleets import fleet


@pytest.mark.parametrize(
    ("mean", "target", "ready", "pending", "wanted"),
    [
        (10.9, 10, 4, 0, 4),  # within the tolerance of 0.1
        (9.1, 10, 4, 0, 4),
        (12, 10, 4, 0, 5),  # ceil(1.2 · 4)
        (8, 10, 4, 0, 4),  # ceil(0.8 · 4)
        (5, 10, 4, 0, 2),
        (0, 10, 4, 0, 0),
        (20, 10, 4, 2, 8),  # the two count as idle: 80 / 60 = 1.33, ceil(1.33 · 6)
        (12, 10, 4, 4, 8),  # with them it would turn round: held
        (16, 10, 4, 2, 6),  # with them within the tolerance: held
        (5, 10, 4, 2, 2),  # down: those that start are not counted
        (5, 10, 0, 3, 3),
    ],
)
def test_pods_metric(mean: float, target: float, ready: int, pending: int, wanted: int) -> None:
    assert of_pods(mean, target, ready, pending) == wanted


@pytest.mark.parametrize(
    ("total", "replicas", "wanted"),
    [(43, 4, 4), (45, 4, 5), (36.5, 4, 4), (35, 4, 4), (25, 4, 3), (0, 4, 0), (7, 0, 1)],
)
def test_external_metric_with_average_value_of_ten(total: float, replicas: int, wanted: int) -> None:
    assert of_external(total, 10, replicas) == wanted


def test_up_by_four_pods_or_twice_as_many_in_a_sync() -> None:
    assert Behaviour().limited(50, 1) == 5
    assert Behaviour().limited(50, 6) == 12
    assert Behaviour().limited(7, 6) == 7


def test_down_to_the_most_of_300_s() -> None:
    behaviour = Behaviour()
    assert [behaviour.limited(wanted, 8) for wanted in (7, 3, 5)] == [7, 7, 7]
    assert [behaviour.limited(2, 7) for _ in range(18)] == [7] * 17 + [5]


def test_hpa_on_running_reads_a_mean_per_ready_pod() -> None:
    seen = fleet(*[(0.0, 1, 200)] * 4)
    seen.advance(2)
    assert HpaOnRunning(target=2).decide(seen) == 2


def test_keda_on_waiting_sees_no_load_where_all_run_and_counts_what_is_at_the_router() -> None:
    full = fleet(*[(0.0, 1, 200)] * 4, replicas=2)
    full.advance(1)
    assert KedaOnWaiting(target=2).decide(full) == 0
    over = fleet(*[(0.0, 1, 200)] * 14)
    over.advance(1)
    # 4 run, 4 wait in the engine, 6 at the router.
    assert KedaOnWaiting(target=2).decide(over) == 5

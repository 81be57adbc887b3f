import pytest

from tests.bench.autoscaling.accelerators import ACCELERATORS, LLAMA_8B, Accelerator, Efficiency, engine


def test_constants_follow_from_rates_and_shapes() -> None:
    card = Accelerator(memory_bytes=100e9, flops=200e12, bandwidth=2e12, budget=10, seats=5)
    found = engine(card, LLAMA_8B, Efficiency(matrix=0.5, weights=1.0, cache=1.0, step_s=0.0, memory=1.0))
    assert found.step_s == pytest.approx(16.06e9 / 2e12)
    assert found.prompt_s == pytest.approx(16.06e9 / 100e12)
    assert found.context_s == pytest.approx(131_072 / 2e12)
    assert found.attention_s == pytest.approx(4 * 32 * 4096 / 100e12)
    assert found.cache == int((100e9 - 16.06e9 - 4e9) / 131_072)
    assert (found.budget, found.seats, found.ongoing) == (10, 5, 10)


@pytest.mark.parametrize(("name", "alone_ms"), [("a100-80g", 11.8), ("h100-80g", 8.0), ("l4-24g", 68.9)])
def test_a_token_alone(name: str, alone_ms: float) -> None:
    assert engine(ACCELERATORS[name]).step_s * 1e3 == pytest.approx(alone_ms, abs=0.1)


def test_a_card_too_small() -> None:
    with pytest.raises(ValueError, match="no room for a cache"):
        engine(Accelerator(16e9, 65e12, 0.3e12, 2048, 256))

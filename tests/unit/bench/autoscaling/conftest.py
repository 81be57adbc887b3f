"""The model of a fleet is compiled for benchmarks; small cases run as the Python that it is, which needs no seconds."""

import pytest

from tests.bench.autoscaling import kernel


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every function of the kernel is replaced by the Python that it was compiled from."""
    for name, value in list(vars(kernel).items()):
        if hasattr(value, "py_func"):
            monkeypatch.setattr(kernel, name, value.py_func)

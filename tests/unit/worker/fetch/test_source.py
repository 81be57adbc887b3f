"""A source's key: another for each source whose bytes may be others, and never of a secret."""

from typing import Any

import pytest
from pydantic import ValidationError

from llmservice_worker.fetch.source import FetchArgs, Source, protocol

BASE: dict[str, Any] = {"uri": "hf://org/name"}


def test_the_key_stays_what_it_is() -> None:
    """Caches outlive versions: another key would fetch everything again."""
    assert Source(**BASE).key == "2c7f18484142ea0a1a53e96226aa424f"
    assert Source(**BASE).directory() == f"/cache/models/{Source(**BASE).key}"


@pytest.mark.parametrize(
    "more",
    [
        {"uri": "hf://org/other"},
        {"revision": "abc"},
        {"sha256": "0" * 64},
        {"endpoint": "https://mirror.example.com"},
        {"pickles": True},
    ],
)
def test_whatever_decides_the_bytes_makes_another_key(more: dict[str, Any]) -> None:
    assert Source(**(BASE | more)).key != Source(**BASE).key


def test_a_default_that_is_said_changes_nothing() -> None:
    assert Source(**BASE, pickles=False, revision=None).key == Source(**BASE).key


@pytest.mark.parametrize("bad", [{"sha256": "abc"}, {"uri": ""}, {"token": "secret"}])
def test_what_no_source_has_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FetchArgs.model_validate({"source": BASE | bad})


@pytest.mark.parametrize(
    ("uri", "asked"), [("gs://bucket/m", "s3"), ("s3://bucket/m", "s3"), ("hf://o/m", "hf"), ("pvc://claim/m", "pvc")]
)
def test_a_source_is_asked_by_one_of_few_protocols(uri: str, asked: str) -> None:
    assert protocol(uri) == asked

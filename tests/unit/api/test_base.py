"""Durations, quantities and the wire form that all models share."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from llmservice_api.base import Duration, ModelName, Quantity, amount, seconds
from llmservice_api.llmservice import LLMServiceSpec

DURATION: TypeAdapter[str] = TypeAdapter(Duration)
QUANTITY: TypeAdapter[str] = TypeAdapter(Quantity)
NAME: TypeAdapter[str] = TypeAdapter(ModelName)


@pytest.mark.parametrize(
    ("text", "value"), [("0s", 0), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("1h1m1s", 3661), ("1h5s", 3605)]
)
def test_seconds(text: str, value: int) -> None:
    assert seconds(DURATION.validate_python(text)) == value


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-1s", "1d", "1.5h", "1s1m", " 1s", "1s\n", "1m1m", "1H", "99999h", "252000000000s"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValidationError):
        DURATION.validate_python(text)


PARTS = st.none() | st.integers(0, 999)


@given(st.tuples(PARTS, PARTS, PARTS).filter(lambda parts: parts != (None, None, None)))
def test_every_duration_of_the_form_is_taken(parts: tuple[int | None, int | None, int | None]) -> None:
    text = "".join(f"{part}{unit}" for part, unit in zip(parts, "hms", strict=True) if part is not None)
    hours, minutes, rest = (part or 0 for part in parts)
    assert seconds(DURATION.validate_python(text)) == 3600 * hours + 60 * minutes + rest


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("500m", 0.5), ("1.5", 1.5), ("2k", 2e3), ("24Gi", 24 * 2**30), ("1T", 1e12), ("1Ki", 1024)],
)
def test_amount(text: str, value: float) -> None:
    assert amount(QUANTITY.validate_python(text)) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "-1", "1GB", "1e9", "1 Gi", ".5", "1.", "١", "Gi"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises(ValidationError):
        QUANTITY.validate_python(text)


@given(st.integers(0, 10**6), st.sampled_from(["", "m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"]))
def test_amounts_grow_with_their_number(number: int, suffix: str) -> None:
    assert amount(f"{number}{suffix}") < amount(f"{number + 1}{suffix}")


@given(st.text(max_size=20))
def test_a_models_name_is_plain(text: str) -> None:
    try:
        NAME.validate_python(text)
    except ValidationError:
        return
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:/-]*", text, re.ASCII)


def test_the_wire_is_camel_case_without_what_is_absent() -> None:
    spec = LLMServiceSpec.model_validate({"model": {"source": "hf://o/m"}, "engine": {"maxModelLen": 8}})
    wire = spec.to_wire()
    assert wire["engine"]["maxModelLen"] == 8
    assert "replicas" not in wire
    assert LLMServiceSpec.model_validate(wire) == spec


def test_unknown_fields_are_refused_and_values_are_frozen() -> None:
    with pytest.raises(ValidationError, match="replica"):
        LLMServiceSpec.model_validate({"model": {"source": "hf://o/m"}, "replica": 1})
    spec = LLMServiceSpec.model_validate({"model": {"source": "hf://o/m"}})
    with pytest.raises(ValidationError, match="frozen"):
        spec.paused = True  # type: ignore[misc]

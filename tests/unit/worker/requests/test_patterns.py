from typing import Any

import pytest

from llmservice_worker.requests.patterns import SCHEMA_BYTES, check_pattern, check_schema


@pytest.mark.parametrize(
    "pattern",
    [
        "", "abc", "a+b*c?", r"\d{4}-\d{2}", "(a|b)+", "[a-z]+@[a-z]+", "(ab){2,5}", r"\(+\)", "[(+]+", "[^)]*x",
        "(?:yes|no)", "a+?", "(a{1,3})+", r"[\]]+", "x{", "a{b}", "(a+){1,64}", "^a$", "[]a]+",
    ],
)  # fmt: skip
def test_a_bounded_pattern_passes(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(a+)+b", "nests"),
        ("(a*)*", "nests"),
        ("((a+))+", "nests"),
        ("(a+b)*", "nests"),
        ("(x(a{2,})y){3,}", "nests"),
        ("(?:a+)+", "nests"),
        ("(a{1000}){1000}", "more than"),
        ("(((a{100}){100}){100})", "more than"),
        ("a{20000}", "more than"),
        ("(a", "open group"),
        ("a)", "did not open"),
        ("[a", "open character class"),
        ("a\\", "backslash"),
        ("*a", "repeats nothing"),
        ("a|+", "repeats nothing"),
        ("?", "repeats nothing"),
        ("x" * 3000, "characters"),
    ],
)
def test_a_pattern_that_blows_up_or_is_none_is_refused(pattern: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_pattern(pattern)


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        deep(60),
        {"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"},
        {"type": "string", "pattern": "^[A-Z]{2}$"},
        {"enum": ["(a+)+"]},
        {"properties": {"pattern": {"type": "string"}}},
    ],
)
def test_a_bounded_schema_passes(schema: Any) -> None:
    check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ([], "object"),
        (deep(70), "levels deep"),
        ({"enum": ["x" * SCHEMA_BYTES]}, "KiB"),
        ({"properties": {"a": {"$ref": "https://example.com/x"}}}, "#/"),
        ({"$ref": "file:///etc/passwd"}, "#/"),
        ({"anyOf": [{"pattern": "(a+)+"}]}, "nests"),
        ({"patternProperties": {"(a+)+": {}}}, "nests"),
    ],
)
def test_a_schema_that_is_too_much_is_refused(schema: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_schema(schema)

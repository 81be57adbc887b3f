from typing import Any

import pytest

from llmservice_worker.requests.patterns import COUNT, LENGTH, SCHEMA_BYTES, check_schema, pattern_size


@pytest.mark.parametrize(
    "pattern",
    [
        "", "abc", "a+b*c?", r"\d{4}-\d{2}", "(a|b)+", "[a-z]+@[a-z]+", "(ab){2,5}", r"\(+\)", "[(+]+", "[^)]*x",
        "(?:yes|no)", "a+?", "(a{1,3})+", r"[\]]+", "x{", "a{b}", "(a+){1,64}", "^a$", "[]a]+",
    ],
)  # fmt: skip
def test_a_bounded_pattern_passes(pattern: str) -> None:
    pattern_size(pattern)


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
        pattern_size(pattern)


BOUNDED = ("minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties",
           "maxProperties")  # fmt: skip


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
        {"type": "array", "maxItems": COUNT, "items": {"type": "string", "maxLength": 256}},
        {"properties": {name: {"type": "string", "maxLength": LENGTH} for name in "abcdefgh"}, "maxProperties": 8},
        {"properties": {"maxLength": {"type": "string"}, "maxItems": {"type": "integer"}}},
        {"type": "array", "minItems": 2, "items": {"type": "string", "pattern": "a{9000}"}},
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
        *(({"properties": {"a": {name: 10**7}}}, rf"^properties\.a\.{name} may be") for name in BOUNDED),
        ({"maxLength": 1e7}, "^maxLength may be at most 8192"),
        ({"maxLength": float("inf")}, "^maxLength may be"),
        ({"anyOf": [{}, {"minItems": COUNT + 1}]}, r"^anyOf\.1\.minItems may be at most 1024"),
        ({"maxItems": COUNT, "items": {"maxLength": LENGTH}}, "^the schema: its lengths and counts, multiplied"),
        ({"properties": {"a": {"minItems": 600, "items": {"minItems": 600}}}}, r"^properties\.a: its lengths"),
        ({"maxItems": COUNT, "items": {"pattern": "a{9000}"}}, "multiplied"),
        ({"minProperties": COUNT, "patternProperties": {"a{9000}": {}}}, "multiplied"),
        ({"properties": {f"p{number}": {"maxLength": LENGTH} for number in range(64)}}, "multiplied"),
    ],
)
def test_a_schema_that_is_too_much_is_refused(schema: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        check_schema(schema)

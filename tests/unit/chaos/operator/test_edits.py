"""Every field of an LLMService is edited by the chains that are drawn, but for those that are named with a reason."""

from typing import Any

from tests.chaos.operator.edits import BY_HAND, HELD, UNEDITED, fields, leaves, nested, of_schema
from tests.integration.conftest import crds

Json = dict[str, Any]


def _schema() -> Json:
    (crd,) = [each for each in crds() if each["spec"]["names"]["plural"] == "llmservices"]
    return dict(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"])


def test_every_field_is_edited_or_named_with_a_reason() -> None:
    edited = {path for patch in [*BY_HAND, *HELD, *of_schema(_schema())] for path in leaves(patch)}
    assert sorted(set(fields(_schema())) - edited - set(UNEDITED)) == []


def test_no_reason_is_for_a_field_that_there_is_not() -> None:
    assert sorted(set(UNEDITED) - set(fields(_schema()))) == []


def test_a_field_of_the_schema_is_edited_to_values_that_it_may_hold() -> None:
    switch, number = {"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": 9}
    schema = {"properties": {"a": {"properties": {"on": switch, "size": number}}, "b": {"enum": ["x", "y"]}}}
    assert list(of_schema(schema)) == [
        {"a": {"on": True}},
        {"a": {"on": False}},
        {"a": {"size": 1}},
        {"a": {"size": 2}},
        {"b": "x"},
        {"b": "y"},
    ]


def test_a_patch_is_of_one_field() -> None:
    assert list(leaves(nested(("model", "name"), "m"))) == [("model", "name")]

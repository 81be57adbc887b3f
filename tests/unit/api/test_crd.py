"""CRDs as Kubernetes takes them: structural, described, small."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from llmservice_api.crd import KINDS, Kind, custom_resource_definition, open_api_schema
from llmservice_api.reference import markdown

Json = dict[str, Any]
FORBIDDEN = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "prefixItems", "title", "examples"}
FORBIDDEN |= {"exclusiveMinimum", "exclusiveMaximum", "propertyNames"}
each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def parts(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every schema in a schema, with its path."""
    yield path, schema
    for name, part in schema.get("properties", {}).items():
        yield from parts(part, f"{path}.{name}")
    for word in ("items", "additionalProperties"):
        if isinstance(schema.get(word), dict):
            yield from parts(schema[word], f"{path}[]")


def field(kind: str, path: str) -> Json:
    """A field's schema."""
    (found,) = [kind_ for kind_ in KINDS if kind_.name == kind]
    return dict(parts(open_api_schema(found)))[path]


@each_kind
def test_structural(kind: Kind) -> None:
    for path, part in parts(open_api_schema(kind)):
        assert not FORBIDDEN & set(part), path
        assert "type" in part or "enum" in part, path
        assert part.get("default", ...) is not None, path
        assert not ("properties" in part and "additionalProperties" in part), path


@each_kind
def test_every_field_is_described(kind: Kind) -> None:
    for path, part in parts(open_api_schema(kind)):
        if not path.endswith("]") and path not in ("", ".metadata"):
            assert len(part.get("description", "")) > 5, path


@each_kind
def test_texts_and_lists_are_bounded_in_spec(kind: Kind) -> None:
    for path, part in parts(open_api_schema(kind)["properties"]["spec"]):
        if part.get("type") == "string" and "enum" not in part and part.get("format") != "date-time":
            assert "maxLength" in part, path
        if part.get("type") == "array":
            assert "maxItems" in part, path
        if part.get("type") == "integer" and "enum" not in part and not path.endswith("tolerationSeconds"):
            assert {"minimum", "maximum"} <= set(part) or path.endswith("perNode"), path


@each_kind
def test_small_enough_for_plain_apply(kind: Kind) -> None:
    assert len(yaml.safe_dump(custom_resource_definition(kind))) < 100_000


@each_kind
def test_names_subresources_and_columns(kind: Kind) -> None:
    spec = custom_resource_definition(kind)["spec"]
    (version,) = spec["versions"]
    assert spec["names"]["categories"] == ["all", "ai"]
    assert spec["names"]["shortNames"]
    assert version["subresources"]["status"] == {}
    assert version["additionalPrinterColumns"][-1]["name"] == "Age"
    paths = dict(parts(version["schema"]["openAPIV3Schema"]))
    for column in version["additionalPrinterColumns"]:
        path = column["jsonPath"]
        assert path in paths or path.startswith((".metadata.", ".status.conditions[?(@.type==")), column["name"]


def test_scale_is_an_llmservices() -> None:
    scales = {kind.name: custom_resource_definition(kind)["spec"]["versions"][0]["subresources"] for kind in KINDS}
    assert scales["LLMService"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    assert "scale" not in scales["GPUPool"]


def test_llmservice_columns() -> None:
    columns = custom_resource_definition(KINDS[0])["spec"]["versions"][0]["additionalPrinterColumns"]
    names = [column["name"] for column in columns if not column.get("priority")]
    assert names == ["Model", "Ready", "Reason", "Replicas", "Desired", "Pool", "URL", "Age"]
    assert [column["name"] for column in columns if column.get("priority")] == ["Scaled", "Revision", "Cost/h"]


@pytest.mark.parametrize(
    ("kind", "path", "expected"),
    [
        ("LLMService", ".spec.replicas", {"type": "integer", "format": "int32", "minimum": 0, "maximum": 1000}),
        ("LLMService", ".spec.engine.maxModelLen", {"type": "integer", "minimum": 1}),
        ("LLMService", ".spec.rollout", {"type": "object", "default": {}}),
        ("LLMService", ".spec.rollout.strategy", {"default": "BlueGreen", "enum": ["BlueGreen", "Recreate"]}),
        ("LLMService", ".spec.adapters", {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}),
        ("LLMService", ".status.conditions", {"x-kubernetes-list-map-keys": ["type"]}),
        (
            "GPUPool",
            ".spec.nodeSelector",
            {"type": "object", "additionalProperties": {"type": "string", "maxLength": 63}},
        ),
        ("APIKey", ".spec.expiresAt", {"type": "string", "format": "date-time"}),
    ],
)
def test_a_field(kind: str, path: str, expected: Json) -> None:
    found = field(kind, path)
    assert {key: found.get(key) for key in expected} == expected


def test_optional_parts_are_not_required() -> None:
    assert field("LLMService", ".spec")["required"] == ["model"]
    assert field("LLMService", ".spec.model")["required"] == ["source"]
    assert "required" not in field("APIKey", ".spec")


@each_kind
def test_the_same_each_time(kind: Kind) -> None:
    assert json.dumps(custom_resource_definition(kind)) == json.dumps(custom_resource_definition(kind))


@each_kind
def test_the_reference_names_every_field(kind: Kind) -> None:
    page = markdown(kind)
    for path, part in parts(open_api_schema(kind)):
        if path.startswith((".spec.", ".status.")) and "[]" not in path:
            assert f"`{path[1:]}`" in page
            assert part["description"] in page
    assert "<!-- Written by `make generate`" in page

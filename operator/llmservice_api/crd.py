"""CustomResourceDefinitions from the models: structural schemas, CEL, columns, subresources.

Kubernetes takes less of JSON Schema than pydantic emits (no $ref, no anyOf with null, no additionalProperties
beside properties), so `structural` rewrites it.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from llmservice_api.apikey import APIKey
from llmservice_api.base import ApiModel
from llmservice_api.budget import Budget
from llmservice_api.gpupool import GPUPool
from llmservice_api.llmservice import LLMService
from llmservice_api.names import APIKEYS, BUDGETS, GPUPOOLS, GROUP, LLMSERVICES, VERSION

Json = dict[str, Any]


@dataclass(frozen=True)
class Column:
    """A printer column; priority 1 shows with `-o wide` only."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""

    def to_wire(self) -> Json:
        """The column as a CRD holds it."""
        wire: Json = {"name": self.name, "type": self.type, "jsonPath": self.path}
        return wire | ({"priority": self.priority} if self.priority else {})


@dataclass(frozen=True)
class Kind:
    """One kind of the group: its model and how kubectl shows it."""

    model: type[ApiModel]
    plural: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    namespaced: bool = True
    scale: Json | None = field(default=None)

    @property
    def name(self) -> str:
        """The kind, such as LLMService."""
        return self.model.__name__


def _condition(kind: str, what: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{what}'


_AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")

KINDS: Final = (
    Kind(
        model=LLMService,
        plural=LLMSERVICES,
        short_names=("llm",),
        scale={
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
        columns=(
            Column("Model", ".status.model.name"),
            Column("Ready", _condition("Ready", "status")),
            Column("Reason", _condition("Ready", "reason")),
            Column("Replicas", ".status.replicas", "integer"),
            Column("Desired", ".status.desiredReplicas", "integer"),
            Column("Pool", ".status.placement.pool"),
            Column("URL", ".status.url"),
            Column("Scaled", ".status.scaling.reason", priority=1),
            Column("Revision", ".status.revision.active", priority=1),
            Column("Cost/h", ".status.placement.costPerHour", priority=1),
            _AGE,
        ),
    ),
    Kind(
        model=GPUPool,
        plural=GPUPOOLS,
        short_names=("gpool",),
        namespaced=False,
        columns=(
            Column("Accelerator", ".spec.accelerator.product"),
            Column("Memory", ".spec.accelerator.memory"),
            Column("Per Node", ".spec.accelerator.perNode", "integer"),
            Column("Nodes", ".status.nodes", "integer"),
            Column("Ready", _condition("Ready", "status")),
            Column("Price", ".spec.pricePerHour"),
            Column("Spot", ".spec.spot", "boolean"),
            Column("Image", ".spec.image", priority=1),
            _AGE,
        ),
    ),
    Kind(
        model=APIKey,
        plural=APIKEYS,
        short_names=("llmkey",),
        columns=(
            Column("Id", ".status.id"),
            Column("Ready", _condition("Ready", "status")),
            Column("Reason", _condition("Ready", "reason")),
            Column("Secret", ".status.secretName"),
            Column("Expires", ".spec.expiresAt"),
            Column("Role", ".spec.role", priority=1),
            Column("Serial", ".status.serial", "integer", priority=1),
            _AGE,
        ),
    ),
    Kind(
        model=Budget,
        plural=BUDGETS,
        short_names=("bud",),
        columns=(
            Column("Window", ".spec.window"),
            Column("Tokens", ".spec.tokens", "integer"),
            Column("Cost", ".spec.cost"),
            Column("Percent", ".status.percent", "integer"),
            Column("Spent", _condition("Spent", "status")),
            Column("Cost Center", ".spec.costCenter", priority=1),
            _AGE,
        ),
    ),
)


def structural(schema: Json, definitions: Json) -> Json:
    """A JSON Schema as Kubernetes takes it: references inlined, nullable unions unwrapped, titles dropped."""
    schema = _without_null(_inlined(schema, definitions), definitions)
    kept = {key: value for key, value in schema.items() if key not in {"title", "$defs", "examples"}}
    if kept.get("default", ...) is None:
        del kept["default"]
    if "propertyNames" in kept:
        kept["properties"] = _of_named_keys(kept.pop("propertyNames")["enum"], kept["additionalProperties"])
    if "properties" in kept:
        kept.pop("additionalProperties", None)
        kept["properties"] = {name: structural(part, definitions) for name, part in kept["properties"].items()}
        if isinstance(kept.get("default"), dict):
            kept["default"] = {}  # the parts' own defaults fill it
    elif isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = structural(kept["additionalProperties"], definitions)
    if "items" in kept:
        kept["items"] = structural(kept["items"], definitions)
    if kept.get("type") == "integer" and "enum" not in kept:
        kept["format"] = "int64" if kept.get("maximum", 2**31) >= 2**31 else "int32"
    return kept


def _of_named_keys(names: list[str], part: Json) -> Json:
    """A map with keys from a list, which Kubernetes cannot say, as an object with a property for each."""
    return {name: part | {"description": f"Of {name}s."} for name in names}


def _inlined(schema: Json, definitions: Json) -> Json:
    if "$ref" not in schema:
        return schema
    target: Json = definitions[schema["$ref"].rsplit("/", 1)[1]]
    return target | {key: value for key, value in schema.items() if key != "$ref"}


def _without_null(schema: Json, definitions: Json) -> Json:
    if "anyOf" not in schema:
        return schema
    (only,) = [choice for choice in schema["anyOf"] if choice.get("type") != "null"]
    return _inlined(only, definitions) | {key: value for key, value in schema.items() if key != "anyOf"}


def open_api_schema(kind: Kind) -> Json:
    """The kind's structural schema."""
    schema = kind.model.model_json_schema(by_alias=True)
    root = structural(schema, schema.get("$defs", {}))
    envelope = {
        "apiVersion": {"type": "string", "description": "Version of this schema."},
        "kind": {"type": "string", "description": "Kind of this object."},
        "metadata": {"type": "object"},
    }
    root["properties"] = envelope | root["properties"]
    return root


def custom_resource_definition(kind: Kind) -> Json:
    """The CRD of a kind, ready for the apiserver; kept by `helm uninstall`."""
    subresources: Json = {"status": {}} | ({"scale": kind.scale} if kind.scale else {})
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "annotations": {"helm.sh/resource-policy": "keep"}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": list(kind.short_names),
                "categories": ["all", "ai"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": subresources,
                    "additionalPrinterColumns": [column.to_wire() for column in kind.columns],
                    "schema": {"openAPIV3Schema": open_api_schema(kind)},
                }
            ],
        },
    }

"""Edits of an LLMService, as merge patches of its spec: by what comes of them.

Numbers, choices, switches and durations come from the schema itself; what means something outside it is listed here.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from tests.chaos.operator.workloads import OTHER, POOLS, endpoint
from tests.integration.services import SOURCE

Json = dict[str, Any]
Path = tuple[str, ...]

BY_HAND: Final[list[Json]] = [
    {"replicas": 1, "scaling": None},
    {"replicas": 3, "scaling": None},
    {"replicas": None, "scaling": {"minReplicas": 1, "maxReplicas": 4}},
    {"replicas": None, "scaling": {"minReplicas": 2, "maxReplicas": 2, "targetQueueDepth": 8}},
    {"model": SOURCE},
    {"model": OTHER},
    {"model": {"name": "other-name"}},
    {"model": {"name": None}},
    {"model": {"aliases": ["gpt-4o", "gpt-4o-mini"]}},
    {"model": {"aliases": None}},
    {"model": {"mediaHosts": ["images.example.com"]}},
    {"model": {"tasks": ["Embed", "Score"]}},
    {"model": {"tasks": None}},
    {"model": {"revision": "abd"}},
    {"engine": {"maxModelLen": 4096}},
    {"engine": {"maxModelLen": None}},
    {"engine": {"args": {"toolCallParser": "hermes", "enableAutoToolChoice": True}}},
    {"engine": {"args": {"reasoningParser": "qwen3"}}},
    {"engine": {"args": None}},
    {"engine": None},
    {"placement": {"pools": [POOLS[1]]}},
    {"placement": {"pools": list(POOLS)}},
    {"endpoint": endpoint("a.HOST")},
    {"endpoint": endpoint("b.HOST")},
    {"endpoint": {"tlsSecretName": "certificate"}},
    {"endpoint": None},
    {"access": None},
    {"hold": None},
    {"taskTemplates": {"summarize": "Say it in {words} words: {text}", "classify": "{text}", "translate": "{text}"}},
    {"taskTemplates": {"answer": "{question}", "code": "{instruction}"}},
    {"taskTemplates": None},
    {"pricing": {"promptPerMillion": "0.5", "cachedPerMillion": "0.1", "completionPerMillion": "1.5"}},
    {"pricing": None},
]
HELD: Final[list[Json]] = [
    {"endpoint": endpoint("other.svc")},
    {"placement": {"pools": ["no-such-pool"]}},
    {"model": {"trustRemoteCode": True}},
    {"model": {"source": "pvc://no-such-claim/m", "revision": None}},
    {"engine": {"tensorParallel": 64}},
    {"engine": {"pipelineParallel": 2, "tensorParallel": 2}},
    {"paused": True},
]
"""Valid, and not to be carried out here: conditions say so, and what served goes on."""

REFUSED: Final[list[Json]] = [
    {"replicas": -1},
    {"replicas": 2**31},
    {"replicas": "3"},
    {"replicas": True},
    {"replicas": 2, "scaling": {"minReplicas": 1}},
    {"scaling": {"minReplicas": 1, "maxReplicas": 0}},
    {"scaling": {"minReplicas": 3, "maxReplicas": 2}},
    {"scaling": {"targetQueueDepth": 0}},
    {"scaling": {"targetQueueDepth": 1e308}},
    {"replica": 3},
    {"model": None},
    {"model": {"source": "../../x"}},
    {"model": {"source": "pvc://claim/../../etc", "revision": None}},
    {"model": {"name": "a\r\nX:y"}},
    {"model": {"aliases": ["\u202eexe.\u200b\U0001f600"]}},
    {"model": {"aliases": [f"alias-{number}" for number in range(17)]}},
    {"model": {"aliases": ["twice", "twice"]}},
    {"endpoint": {"host": "*"}},
    {"endpoint": {"annotations": {"nginx.ingress.kubernetes.io/server-snippet": "x"}}},
    {"engine": {"args": {"host": "0.0.0.0", "apiKey": "x", "--trust-remote-code": "$(id);"}}},
    {"engine": {"env": [{"name": "A", "value": "b"}]}},
    {"privileged": True, "hostNetwork": True, "serviceAccountName": "llmservice-operator"},
    {"podTemplate": {"spec": {"volumes": [{"name": "root", "hostPath": {"path": "/"}}]}}},
    {"rollout": {"drain": "-1s"}},
    {"access": {"mode": "Everybody"}},
]
"""Admission refuses them, or prunes all of them as fields that nobody knows: the spec stays what it was."""

UNEDITED: Final[Mapping[Path, str]] = {
    ("model", "source"): "by hand",
    ("model", "endpoint"): "asked by workers only",
    ("model", "sha256"): "of http sources only, which SOURCE is not",
    ("model", "cacheClaim"): "a claim is asked for by what provisions storage",
    ("model", "credentialsSecretRef", "name"): "read by workers only",
    ("engine", "memory"): "tests/unit/operator/test_placement.py",
    ("scaling", "schedules"): "what holds depends on the hour",
    ("scaling", "minReplicas"): "by hand: with zero it sleeps after a time",
    ("scaling", "hibernateAfter"): "it sleeps after a time",
    ("scaling", "idleAfter"): "it sleeps after a time",
    ("placement", "fallbackAfter"): "a time",
    ("rollout", "drain"): "a time for which the old revision stays",
    ("rollout", "progressDeadline"): "a time",
    ("adapters",): "loaded by workers",
    ("dynamicAdapters", "source"): "loaded by workers",
}
"""Fields that no edit is drawn for, and why."""
_NOT_FROM_SCHEMA: Final = frozenset(
    {("paused",), ("replicas",), ("model", "trustRemoteCode"), ("engine", "tensorParallel"), *UNEDITED}
    | {("engine", "pipelineParallel"), ("engine", "maxModelLen")}
)
_ALWAYS: Final[Mapping[str, Json]] = {"scaling": {"replicas": None}}
"""What else an edit of the part must say to be valid."""


def of_schema(schema: Json, path: Path = ()) -> Iterator[Json]:
    """Two values or more for each field whose values the schema itself tells, each an edit of its own."""
    for name, field in schema.get("properties", {}).items():
        where = (*path, name)
        if where not in _NOT_FROM_SCHEMA:
            yield from (_ALWAYS.get(where[0], {}) | nested(where, value) for value in _values(field))
            yield from of_schema(field, where)


def nested(path: Path, value: Any) -> Json:
    """The patch that says this of one field."""
    first, *rest = path
    return {first: nested(tuple(rest), value) if rest else value}


def leaves(patch: Any, path: Path = ()) -> Iterator[Path]:
    """The fields that a patch is about."""
    if isinstance(patch, dict) and patch:
        for key, value in patch.items():
            yield from leaves(value, (*path, key))
    else:
        yield path


def fields(schema: Json, path: Path = ()) -> Iterator[Path]:
    """All fields that hold no further ones."""
    if "properties" in schema:
        for name, field in schema["properties"].items():
            yield from fields(field, (*path, name))
    else:
        yield path


def _values(field: Json) -> list[Any]:
    if "enum" in field:
        return list(field["enum"])
    if field.get("type") == "boolean":
        return [True, False]
    if field.get("type") in ("integer", "number"):
        least = max(field["minimum"], 1) if field["type"] == "integer" else field["minimum"]
        return [least, min(2 * least, field["maximum"])]
    return ["30s", "1m"] if "[0-9]{1,4}h" in field.get("pattern", "") else []

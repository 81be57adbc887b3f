"""Reference documentation of a kind, from the same schema as its CRD."""

from typing import Any

from llmservice_api.crd import Json, Kind, open_api_schema
from llmservice_api.names import API_VERSION


def markdown(kind: Kind) -> str:
    """A page with every field of the kind: path, type, default, bounds, meaning, and the cross-field rules."""
    schema = open_api_schema(kind)
    lines = [
        f"# {kind.name}",
        "",
        "<!-- Written by `make generate` from operator/llmservice_api; edits here are lost. -->",
        "",
        f"`apiVersion: {API_VERSION}`, {'namespaced' if kind.namespaced else 'cluster-scoped'}, "
        f"short name `{kind.short_names[0]}`. {schema['description']}",
    ]
    for part in ("spec", "status"):
        lines += ["", f"## {part}", "", "| field | type | default | meaning |", "|---|---|---|---|"]
        lines += _rows(schema["properties"][part], part)
    checks = _rules(schema, "")
    if checks:
        lines += ["", "## Refused by the API server", ""] + [f"- {check}" for check in checks]
    return "\n".join(lines) + "\n"


def _rows(schema: Json, path: str) -> list[str]:
    rows = []
    for name, part in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        required = " (required)" if name in schema.get("required", []) else ""
        rows.append(f"| `{here}` | {_type(part)} | {_default(part)} | {part.get('description', '')}{required} |")
        rows += _rows(part, here) + _rows(part.get("items", {}), f"{here}[]")
        rows += _rows(part.get("additionalProperties", {}), f"{here}.*")
    return rows


def _type(schema: Json) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{choice}`" for choice in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map of {_type(schema['additionalProperties'])}"
    bounds = [f"≥ {schema['minimum']}"] if "minimum" in schema else []
    bounds += [f"≤ {schema['maximum']}"] if "maximum" in schema else []
    return " ".join([schema["type"], *bounds])


def _default(schema: Json) -> str:
    default: Any = schema.get("default")
    return "" if default in (None, {}, []) else f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _rules(schema: Json, path: str) -> list[str]:
    where = path or "(object)"
    found = [f"`{where}`: {rule['message']}" for rule in schema.get("x-kubernetes-validations", [])]
    for name, part in schema.get("properties", {}).items():
        found += _rules(part, f"{path}.{name}".lstrip("."))
    return found

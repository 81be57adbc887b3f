"""What a PromQL expression asks for."""

from typing import Any

import promql_parser


def metric_names(expression: str) -> set[str]:
    """The metrics that an expression names; raises ValueError where it is no PromQL."""
    found: set[str] = set()

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector) and node.name:
            found.add(node.name)

    promql_parser.walk(promql_parser.parse(expression.replace("$__rate_interval", "5m")), visit)
    return found


def scraped_names(text: str) -> set[str]:
    """Names of the series that a scrape may hold, those without a series now included."""
    found: set[str] = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split()
            found |= {f"{name}{suffix}" for suffix in _SUFFIXES.get(kind, ("",))}
    return found


_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "summary": ("", "_sum", "_count")}

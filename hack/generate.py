"""Write everything that is derived: crds/, the chart's copies, docs/reference/; `--check` fails on drift instead.

Run as `python -m hack.generate [--check]` from the repository's root.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from hack import dashboard
from llmservice_api.crd import KINDS, custom_resource_definition
from llmservice_api.names import GROUP
from llmservice_api.reference import markdown

ROOT = Path(__file__).parent.parent
_HEADER = "# Written by `make generate` from operator/llmservice_api; edits here are lost.\n"


def derived() -> Iterator[tuple[Path, str]]:
    """Every derived file with its content."""
    for kind in KINDS:
        crd = _HEADER + yaml.safe_dump(custom_resource_definition(kind), sort_keys=False, width=120, allow_unicode=True)
        yield ROOT / "crds" / f"{GROUP}_{kind.plural}.yaml", crd
        yield ROOT / "charts/llmservice/files/crds" / f"{GROUP}_{kind.plural}.yaml", crd
        yield ROOT / "docs/reference" / f"{kind.name.lower()}.md", markdown(kind)
    yield dashboard.PLACE, dashboard.text()


def main(arguments: list[str]) -> int:
    """Write, or with `--check` name every file that differs and return 1."""
    stale = [(path, text) for path, text in derived() if not path.is_file() or path.read_text() != text]
    for path, text in stale:
        name = path.relative_to(ROOT)
        if "--check" in arguments:
            print(f"{name} is not what the models say: run `make generate` and commit the result", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            print(f"wrote {name}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The operator's image holds no more of the worker than it imports, and no less."""

import ast
from collections.abc import Iterator
from pathlib import Path

from hack.cluster.cache import REPOSITORY
from hack.cluster.images import components

WORKER = REPOSITORY / "worker"


def test_the_image_holds_the_workers_modules_that_the_operator_imports() -> None:
    held = {path for path in components.copied(components.component("operator")) if path.is_relative_to(WORKER)}
    operator = REPOSITORY / "operator"
    wanted, left = set[Path](), list(operator.rglob("*.py"))
    while left:
        new = {path for path in _imported(left.pop()) if path not in wanted}
        wanted |= new
        left += new
    assert {path for path in held if path.name != "__init__.py"} == wanted


def _imported(file: Path) -> Iterator[Path]:
    """Files of the worker's modules that a file imports."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("llmservice_worker"):
            module = WORKER / str(node.module).replace(".", "/")
            names = [module.with_suffix(".py"), *(module / f"{alias.name}.py" for alias in node.names)]
            yield from (path for path in names if path.is_file())

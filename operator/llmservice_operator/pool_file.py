"""GPUPools of a file, in place of those of a cluster whose cluster-scoped objects may not be read."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from llmservice_api.gpupool import GPUPool
from llmservice_operator.settings import SettingsError

Json = dict[str, Any]


def read_pools(file: Path) -> list[Json]:
    """GPUPools of a file that is as `kubectl get gpupools -o json` has them; SettingsError says what is wrong."""
    try:
        found = {item["metadata"]["name"]: item["spec"] for item in json.loads(file.read_text())["items"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        what = f"{file} (gpuPools of the chart) cannot be read: {type(error).__name__}: {error}"
        raise SettingsError(f"{what}; write it as `kubectl get gpupools -o json` does") from error
    if not found:
        raise SettingsError(f"{file} (gpuPools of the chart) has no GPUPool: add one, or nothing can be placed")
    return [{"metadata": {"name": name}, "spec": _valid(file, name, spec)} for name, spec in found.items()]


def _valid(file: Path, name: str, spec: Json) -> Json:
    try:
        GPUPool.model_validate({"spec": spec})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise SettingsError(f"GPUPool {name} of {file} (gpuPools of the chart) is wrong: {wrong}") from error
    return spec

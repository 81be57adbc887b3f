"""GPUPools of a file: as a cluster gives them, or one clear line."""

import json
from pathlib import Path
from typing import Any

import pytest

from llmservice_operator.pool_file import read_pools
from llmservice_operator.settings import SettingsError


def pool(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "llmservice.io/v1alpha1", "kind": "GPUPool", "metadata": {"name": name}, "spec": spec}


def listed(*pools: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": pools})


def test_pools_are_those_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "gpupools.json"
    file.write_text(listed(pool("cpu", image="x"), pool("l4", image="y", maxNodes=2)))
    assert read_pools(file) == [
        {"metadata": {"name": "cpu"}, "spec": {"image": "x"}},
        {"metadata": {"name": "l4"}, "spec": {"image": "y", "maxNodes": 2}},
    ]


WRONG = {
    "no JSON": ("{", "JSONDecodeError"),
    "no list": ("{}", "KeyError: 'items'"),
    "no objects": ('{"items": ["cpu"]}', "TypeError"),
    "no pool": (listed(), "has no GPUPool"),
    "no name": (listed({"spec": {"image": "x"}}), "KeyError: 'metadata'"),
    "no image": (listed(pool("cpu")), "GPUPool cpu of .* is wrong: spec.image: Field required"),
    "no such field": (listed(pool("cpu", image="x", gpus=1)), "GPUPool cpu of .*: spec.gpus: Extra inputs"),
    "a bad quantity": (listed(pool("l4", image="x", accelerator={"memory": "?"})), "spec.accelerator.memory: String"),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_the_file(text: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "gpupools.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match=said) as error:
        read_pools(file)
    assert str(file) in str(error.value)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="FileNotFoundError"):
        read_pools(tmp_path / "none")

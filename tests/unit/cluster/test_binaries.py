"""Binaries are keyed by all that decides them."""

from pathlib import Path

import pytest

from hack.cluster import binaries
from hack.cluster.binaries import TOOLS_BY_NAME, Tool
from hack.cluster.failure import ClusterError


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "thing"
    folder.mkdir()
    (folder / "go.mod").write_text("module x\n\nrequire (\n\texample.org/thing v1.2.3\n)\n")
    (folder / "go.sum").write_text("sum\n")
    monkeypatch.setattr(binaries, "TOOLS", tmp_path)
    return folder


THING = Tool("thing", "thing", "example.org/thing", "example.org/thing/cmd")


@pytest.mark.parametrize("name", sorted(TOOLS_BY_NAME))
def test_every_tool_has_a_pinned_version(name: str) -> None:
    assert binaries.version(TOOLS_BY_NAME[name]).startswith("v")


def test_kubernetes_learns_its_version_from_the_linker() -> None:
    linker = binaries.flags(TOOLS_BY_NAME["kubelet"])[-1]
    assert "gitVersion=v1.34.4" in linker
    assert "gitMinor=34" in linker
    assert "gitVersion" not in binaries.flags(TOOLS_BY_NAME["etcd"])[-1]


def test_version_is_read_from_a_block_or_a_line(tools: Path) -> None:
    assert binaries.version(THING) == "v1.2.3"
    (tools / "go.mod").write_text("module x\n\nrequire example.org/thing v2.0.0\n")
    assert binaries.version(THING) == "v2.0.0"


def test_a_module_that_is_not_required_is_named(tools: Path) -> None:
    (tools / "go.mod").write_text("module x\n")
    with pytest.raises(ClusterError, match=r"thing/go\.mod does not require example\.org/thing"):
        binaries.version(THING)


def test_the_key_changes_with_the_sums_of_the_modules(tools: Path) -> None:
    before = _key()
    (tools / "go.sum").write_text("another sum\n")
    assert _key() != before


def _key() -> str:
    digest = binaries.key(THING)
    assert digest.startswith("v1.2.3-")
    return digest

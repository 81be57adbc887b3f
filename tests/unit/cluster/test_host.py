"""What a cluster leaves: nothing."""

import os
from pathlib import Path

import pytest

from hack.cluster import host, network, ports, process
from hack.cluster.cgroups import ControlGroup


def _hierarchies(tmp_path: Path) -> Path:
    for name in ("memory", "pids"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    return tmp_path


def test_the_group_is_made_in_every_hierarchy_and_removed(tmp_path: Path) -> None:
    group = ControlGroup(_hierarchies(tmp_path))
    group.create()
    assert [folder.parent.name for folder in group.hierarchies()] == ["memory", "pids"]
    (tmp_path / "pids" / group.hierarchies()[0].name / "runtime").mkdir()
    group.remove()
    assert not any(folder.exists() for folder in group.hierarchies())


def test_members_are_found_in_groups_below(tmp_path: Path) -> None:
    group = ControlGroup(_hierarchies(tmp_path))
    group.create()
    group.add_runtime(os.getpid())
    assert group.members() == {os.getpid()}


def test_what_was_there_before_is_put_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, made, forwarding = tmp_path / "there", tmp_path / "made", tmp_path / "forwarding"
    there.mkdir()
    forwarding.write_text("0\n")
    undone: list[list[str]] = []
    monkeypatch.setattr(host, "FOREIGN_FOLDERS", (str(there), str(made)))
    monkeypatch.setattr(network, "FORWARDING", forwarding)
    monkeypatch.setattr(network, "tables", lambda: ["ip nat"])
    monkeypatch.setattr(network, "down", lambda tables, _: undone.append(tables))
    host.remember(tmp_path / "before.json")
    made.mkdir()
    host.remember(tmp_path / "before.json")  # a second start must not take our own folder for the host's
    host.restore(tmp_path / "before.json")
    assert undone == [["ip nat"]]
    assert there.exists()
    assert not made.exists()


def test_mounts_are_found_below_a_folder_only() -> None:
    assert host.mounts_below([Path("/")]) != []
    assert host.mounts_below([Path("/no/such/folder")]) == []


def test_a_port_is_given_once_while_it_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMSERVICE_CACHE", str(tmp_path))
    monkeypatch.setattr(ports, "RANGE", range(28000, 28003))
    first, second = ports.Ports(), ports.Ports()
    taken = {first.take(), first.take()}
    assert second.take() not in taken
    first.release()
    second.release()


def test_a_start_time_tells_processes_apart() -> None:
    assert process.start_time(os.getpid()) != process.start_time(1)

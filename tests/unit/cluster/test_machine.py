"""What is missing on a machine is one line that says what to do."""

from pathlib import Path

import pytest

from hack.cluster import machine
from hack.cluster.failure import ClusterError
from hack.cluster.progress import Steps


def test_packages_of_missing_programs_are_named_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name in ("ctr", "containerd", "nft") else name)
    monkeypatch.setattr(machine, "CNI_PLUGINS", tmp_path)
    assert machine.missing_packages() == ["containerd", "containernetworking-plugins", "nftables"]


@pytest.mark.parametrize(
    ("platform", "user", "message"),
    [("darwin", 0, "start Docker, or use a Linux machine"), ("linux", 1000, "start Docker, or run this as root")],
)
def test_a_machine_that_cannot_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, platform: str, user: int, message: str
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("os.geteuid", lambda: user)
    with pytest.raises(ClusterError, match=message):
        machine.require(Steps.quiet())

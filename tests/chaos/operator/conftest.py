"""One control plane for the operator's chaos, of its own: faults there harm no other test."""

from collections.abc import Iterator

import pytest

from hack.cluster.control_plane import ControlPlane
from tests.chaos.operator.rig import Rig, install, rig
from tests.chaos.operator.workloads import pools
from tests.integration.client import Client


@pytest.fixture(scope="session")
def chaos_plane() -> Iterator[ControlPlane]:
    """etcd, apiserver and controller-manager; our CRDs and KubeRay's, and two pools."""
    with ControlPlane(audit=True) as plane:
        install(plane)
        pools(Client(plane.kubeconfig))
        yield plane


@pytest.fixture(scope="session")
def rig_of_all(chaos_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """The rig that all tests share; its operator is not started yet."""
    with rig(chaos_plane, tmp_path_factory.mktemp("rig")) as found:
        yield found


@pytest.fixture
def site(rig_of_all: Rig) -> Iterator[Rig]:
    """The rig without a fault, and with an operator that runs; what a failed test left is healed."""
    if not rig_of_all.operator.is_running:
        rig_of_all.start()
    yield rig_of_all
    rig_of_all.heal()

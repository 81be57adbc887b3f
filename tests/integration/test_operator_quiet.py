"""A steady state costs no write, and neither does a restart."""

from pathlib import Path

import pytest

from hack.cluster.control_plane import ControlPlane
from tests.integration.client import CHILDREN, Client, an_object, eventually
from tests.integration.operator_run import operator
from tests.integration.services import SOON, serving


@pytest.mark.usefixtures("cpu_pool")
def test_steady_state_and_a_restart_write_nothing(
    control_plane: ControlPlane, client: Client, namespace: str, tmp_path: Path
) -> None:
    with operator(control_plane, tmp_path, relist_seconds=1) as first:
        serving(client, namespace)
        client.create("apikeys", an_object("APIKey", "app"), namespace)
        eventually(client, ("apikeys", namespace, "app"), "Ready", "True", "Issued", SOON)
        first.after_relists(2)
        settled, versions = len(first.writes()), _versions(client, namespace)
        first.after_relists(8)
        assert first.writes()[settled:] == []
    with operator(control_plane, tmp_path, relist_seconds=1) as second:
        second.after_relists(3)
        assert second.writes() == []
    assert _versions(client, namespace) == versions


def _versions(client: Client, namespace: str) -> dict[str, str]:
    kinds = ("llmservices", "apikeys", *CHILDREN)
    return {
        f"{plural} {item['metadata']['name']}": item["metadata"]["resourceVersion"]
        for plural in kinds
        for item in client.items(plural, namespace)
    }

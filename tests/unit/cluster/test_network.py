"""The pod network, and how the host gets its own rules back."""

from pathlib import Path

from hack.cluster import network
from hack.cluster.settings import POD_CIDR

SAVED = """\
*nat
:PREROUTING ACCEPT [0:0]
:CNI-HOSTPORT-DNAT - [0:0]
:MINE - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT
-A PREROUTING -j MINE
-A MINE -j RETURN
COMMIT
"""


def test_pods_are_routed_and_may_own_host_ports() -> None:
    routed, ports = network.cni(Path("/state"))["plugins"]
    assert routed["type"] == "ptp"
    assert routed["ipam"]["ranges"] == [[{"subnet": POD_CIDR}]]
    assert routed["ipam"]["dataDir"] == "/state/addresses"
    assert ports["capabilities"] == {"portMappings": True}


def test_a_host_rule_survives_and_ours_go() -> None:
    kept = network.without_our_chains(SAVED)
    assert "CNI-" not in kept
    assert "-A MINE -j RETURN\n" in kept
    assert kept.endswith("COMMIT\n")

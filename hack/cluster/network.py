"""Pod network: each pod has a veth of its own, routed; packets that leave the node get its address."""

import contextlib
import json
from pathlib import Path
from typing import Any

from hack.cluster import command
from hack.cluster.settings import POD_CIDR

TABLE = "llmservice-cluster"
KUBE_PROXY_TABLE = "kube-proxy"
FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
CHAIN_MARKS = ("CNI-", "KUBE-")
IPTABLES_TABLES = ("filter", "mangle", "nat", "raw", "security")
"""Made by the first use of iptables, here by the CNI plugins."""
RULES = f"""
table ip {TABLE} {{
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {POD_CIDR} ip daddr != {POD_CIDR} masquerade
  }}
}}
"""


def cni(state: Path) -> dict[str, Any]:
    """The network of a single node. Routed (ptp), not bridged: a Service's answer needs no bridge filtering."""
    return {
        "cniVersion": "1.0.0",
        "name": "llmservice",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "mtu": 1400,
                "ipam": {
                    "type": "host-local",
                    "dataDir": str(state / "addresses"),
                    "ranges": [[{"subnet": POD_CIDR}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True},
        ],
    }


def tables() -> list[str]:
    """All nftables tables, as `<family> <name>`."""
    found = json.loads(command.output(["nft", "--json", "list", "tables"]))["nftables"]
    return [f"{item['table']['family']} {item['table']['name']}" for item in found if "table" in item]


def chains() -> list[str]:
    """Chains of CNI plugins and of the kubelet, as `<family> <table> <chain>`."""
    found = json.loads(command.output(["nft", "--json", "list", "chains"]))["nftables"]
    named = [item["chain"] for item in found if "chain" in item]
    return [
        f"{chain['family']} {chain['table']} {chain['name']}"
        for chain in named
        if chain["name"].startswith(CHAIN_MARKS) and chain["table"] != KUBE_PROXY_TABLE
    ]


def up(state: Path) -> None:
    """Write the CNI configuration, forward packets, translate addresses."""
    folder = state / "cni"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "10-llmservice.conflist").write_text(json.dumps(cni(state), indent=2))
    FORWARDING.write_text("1\n")
    if f"ip {TABLE}" not in tables():
        command.output(["nft", "-f", "-"], stdin=RULES)


def down(tables_before: list[str], forwarding_before: str) -> None:
    """Delete the tables that came with the cluster, and its chains from those that were there."""
    for table in tables():
        family, name = table.split(" ", 1)
        came_with_us = name in IPTABLES_TABLES and table not in tables_before
        if came_with_us or name in (TABLE, KUBE_PROXY_TABLE):
            command.output(["nft", "delete", "table", family, name])
        elif family in ("ip", "ip6") and name in IPTABLES_TABLES:
            _drop_chains("iptables" if family == "ip" else "ip6tables", name)
    with contextlib.suppress(FileNotFoundError):
        FORWARDING.write_text(forwarding_before)


def _drop_chains(tool: str, table: str) -> None:
    """Put a table back without the lines that name our chains."""
    if not command.succeeds([f"{tool}-save", "-t", table]):
        return
    saved = command.output([f"{tool}-save", "-t", table])
    kept = without_our_chains(saved)
    if kept != saved:
        command.output([f"{tool}-restore", "-T", table], stdin=kept)


def without_our_chains(saved: str) -> str:
    """The lines of an iptables-save that name neither a CNI nor a kube chain."""
    lines = saved.splitlines(keepends=True)
    return "".join(line for line in lines if not any(mark in line for mark in CHAIN_MARKS))

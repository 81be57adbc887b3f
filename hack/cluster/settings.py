"""What a control plane is started with, and where each of its files lies: values only."""

from dataclasses import dataclass
from pathlib import Path

SERVICE_CIDR = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
DNS_ADDRESS = "10.96.0.10"
POD_CIDR = "10.244.0.0/16"
DOMAIN = "cluster.local"
SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    f"kubernetes.default.svc.{DOMAIN}",
    SERVICE_ADDRESS,
    "127.0.0.1",
)


@dataclass(frozen=True)
class Settings:
    """The switches of one control plane."""

    bind: str = "127.0.0.1"
    advertise: str = "127.0.0.1"
    scheduler: bool = False
    audit: bool = False
    durable: bool = False
    """Whether etcd waits for the disk; what lives as long as a test need not."""


@dataclass(frozen=True)
class Layout:
    """The files of one control plane."""

    root: Path

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def etcd_data(self) -> Path:
        return self.root / "etcd"

    @property
    def kubeconfig(self) -> Path:
        return self.user("admin")

    @property
    def audit_log(self) -> Path:
        return self.root / "logs" / "audit.jsonl"

    @property
    def audit_policy(self) -> Path:
        return self.root / "audit-policy.json"

    def user(self, name: str) -> Path:
        return self.root / "kubeconfigs" / f"{name}.json"

    def log(self, name: str) -> Path:
        return self.root / "logs" / f"{name}.log"

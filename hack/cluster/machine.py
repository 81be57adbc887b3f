"""What a full cluster needs of this machine: each missing privilege or package is one line that says what to do."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from hack.cluster import command
from hack.cluster.cache import cache_root
from hack.cluster.failure import ClusterError
from hack.cluster.progress import Steps

PROGRAMS = {
    "containerd": "containerd",
    "ctr": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "runc": "runc",
    "nft": "nftables",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "buildah": "buildah",
    "skopeo": "skopeo",
    "debootstrap": "debootstrap",
    "gcc": "gcc",
    "socat": "socat",
}
"""Program → Debian package that brings it."""
CNI_PLUGINS = Path("/usr/lib/cni")
CNI_PACKAGE = "containernetworking-plugins"


REDIS: Mapping[str, str] = {"redis-check-rdb": "redis-tools"}
"""What tests run as a Redis server: the program is the same, and this package starts no service of its own."""


POSTGRESQL: Mapping[str, str] = {"pg_createcluster": "postgresql-15"}
"""Of Debian's PostgreSQL; the server's own programs are in no folder of PATH."""

HAPROXY: Mapping[str, str] = {"haproxy": "haproxy"}
"""What the gateway's tests run without its image."""

CLOCK: Mapping[str, str] = {"faketime": "faketime"}
"""What sets the clock that a process sees; its library is in no folder of PATH."""


def missing_packages() -> list[str]:
    """Debian packages of a full cluster of which a program is not here."""
    packages = set(_missing(PROGRAMS))
    if not (CNI_PLUGINS / "ptp").is_file():
        packages.add(CNI_PACKAGE)
    return sorted(packages)


def require(steps: Steps) -> None:
    """Raise unless a kubelet can run here; install what Debian has."""
    if sys.platform != "linux":
        raise ClusterError("without a Docker engine a cluster needs Linux: start Docker, or use a Linux machine")
    if os.geteuid() != 0:
        raise ClusterError("without a Docker engine a cluster needs root: start Docker, or run this as root")
    if not Path("/sys/fs/cgroup").is_dir() or not os.access("/sys/fs/cgroup", os.W_OK):
        raise ClusterError("/sys/fs/cgroup is not writable: run this where control groups are mounted read-write")
    _install(missing_packages, steps)
    if not command.succeeds(["nft", "list", "tables"]):
        raise ClusterError("nft cannot list tables: CAP_NET_ADMIN and a kernel with nf_tables are needed")


def ensure(programs: Mapping[str, str], steps: Steps) -> None:
    """Install the Debian packages (program → package) of which a program is not here; raises ClusterError."""
    _install(lambda: _missing(programs), steps)


def _missing(programs: Mapping[str, str]) -> list[str]:
    return sorted({package for program, package in programs.items() if shutil.which(program) is None})


def _install(missing: Callable[[], list[str]], steps: Steps) -> None:
    packages = missing()
    if not packages:
        return
    if shutil.which("apt-get") is None:
        raise ClusterError(f"install {', '.join(packages)} with this system's package manager")
    log = cache_root() / "logs" / "apt.log"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    with steps.step(f"install {' '.join(packages)}", log):
        command.logged(["apt-get", "update", "-q"], log, environment=quiet)
        argv = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages, "libc6-dev"]
        command.logged(argv, log, environment=quiet)
    still = missing()
    if still:
        raise ClusterError(f"apt-get did not bring {', '.join(still)}: install them by hand", log)


def address() -> str:
    """This machine's address on its default route; a kubelet refuses a loopback one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.254", 9))  # a route lookup; no packet leaves
        except OSError as error:
            raise ClusterError("this machine has no route but loopback: give it a network interface") from error
        found = str(probe.getsockname()[0])
    if found.startswith("127."):
        raise ClusterError("this machine has only a loopback address: give it a network interface")
    return found

"""HAProxy as the gateway's image has it: Debian's, installed where it is missing."""

import shutil

from hack.cluster import machine
from hack.cluster.progress import Steps


def haproxy() -> str:
    """The program's path; ClusterError, with what to do, where it cannot be installed."""
    machine.ensure(machine.HAPROXY, Steps())
    path = shutil.which("haproxy")
    assert path is not None, "ensured above"
    return path

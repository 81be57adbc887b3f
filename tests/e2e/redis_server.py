"""A real Redis on the node's address, for Ray's cluster state."""

import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hack.cluster import machine
from hack.cluster.poll import wait_until
from hack.cluster.progress import Steps


@dataclass(frozen=True)
class Redis:
    """`address`: <host>:<port>."""

    host: str
    port: int
    password: str = field(repr=False)

    @property
    def address(self) -> str:
        """As the chart takes it."""
        return f"{self.host}:{self.port}"

    def listens(self) -> bool:
        """Whether it takes connections."""
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.host, self.port)) == 0

    def keys(self) -> int:
        """How many keys it holds."""
        with socket.create_connection((self.host, self.port), timeout=5) as connection:
            connection.sendall(f"AUTH {self.password}\r\nDBSIZE\r\n".encode())
            with connection.makefile() as answers:
                ok, size = answers.readline(), answers.readline()
        assert ok.startswith("+OK"), ok
        return int(size.removeprefix(":"))


@contextmanager
def redis_server(folder: Path) -> Iterator[Redis]:
    """A server with a password of its own and nothing on disk but its configuration, ended afterwards."""
    machine.ensure(machine.REDIS, Steps())
    host = machine.address()
    with socket.socket() as probe:
        probe.bind((host, 0))
        server = Redis(host, probe.getsockname()[1], secrets.token_hex(16))
    configuration = folder / "redis.conf"
    configuration.touch(mode=0o600)
    configuration.write_text(f'bind {host}\nport {server.port}\nrequirepass {server.password}\nsave ""\ndir {folder}\n')
    program = shutil.which("redis-check-rdb")
    assert program is not None
    # The one program of Debian's package takes its part from the name that it is called by.
    process = subprocess.Popen(["redis-server", configuration], executable=program, stdout=subprocess.DEVNULL)
    try:
        wait_until(server.listens, "Redis listens", timeout=30)
        yield server
    finally:
        process.terminate()
        process.wait(30)

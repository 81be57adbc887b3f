"""A real S3 server: versitygw over a folder."""

import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from hack.cluster import binaries
from hack.cluster.poll import wait_until
from hack.cluster.ports import Ports
from hack.cluster.progress import Steps

KEY, SECRET = "tester", "a-secret-of-tests"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}


@dataclass(frozen=True)
class S3:
    """A running server. `log`: a line for each request."""

    host: str
    port: int
    log: Path

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://{self.host}:{self.port}"

    @property
    def client(self) -> Any:
        """boto3, as the server's owner."""
        session = boto3.session.Session(KEY, SECRET, region_name="us-east-1")
        return session.client("s3", endpoint_url=self.url)

    def put(self, bucket: str, prefix: str, files: Mapping[str, bytes]) -> None:
        """Upload files under a prefix of a bucket, which is made where it is missing."""
        client = self.client
        if bucket not in [found["Name"] for found in client.list_buckets()["Buckets"]]:
            client.create_bucket(Bucket=bucket)
        for path, content in files.items():
            client.put_object(Bucket=bucket, Key=f"{prefix}/{path}", Body=content)

    def gets(self, path: str) -> int:
        """How often an object (`/bucket/key`) was asked for."""
        wanted = f"| GET | {path} |"
        return sum(wanted in line for line in self.log.read_text().splitlines())


@contextmanager
def running(folder: Path, host: str = "127.0.0.1") -> Iterator[S3]:
    """A server whose buckets are in `folder`/data, ended with the body."""
    binaries.ensure(["versitygw"], Steps())
    data, attributes = folder / "data", folder / "attributes"
    for each in (data, attributes):
        each.mkdir(parents=True)
    ports = Ports()
    server = S3(host, ports.take(), folder / "requests.log")
    posix = ["posix", "--sidecar", str(attributes), str(data)]
    words: list[str | Path] = [binaries.path("versitygw"), "--port", f"{host}:{server.port}", *posix]
    secrets = {"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET}
    with server.log.open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, env=os.environ | secrets)
        try:
            wait_until(lambda: _answers(server), "the S3 server answers", timeout=30)
            yield server
        finally:
            process.terminate()
            process.wait(timeout=10)
            ports.release()


def _answers(server: S3) -> bool:
    try:
        socket.create_connection((server.host, server.port), timeout=1).close()
    except OSError:
        return False
    return True

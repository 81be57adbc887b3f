"""The archive of a single program."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from hack.cluster.images import oci


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    program = tmp_path / "thing"
    program.write_bytes(b"\x7fELF")
    archive = tmp_path / "out" / "thing.tar"
    oci.write(oci.Program("docker.io/llmservice/thing:1", program, "thing"), archive)
    return archive


def _members(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        streams = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: stream.read() for name, stream in streams.items() if stream}


def test_every_blob_has_the_name_of_its_digest(archive: Path) -> None:
    blobs = {name: data for name, data in _members(archive).items() if name.startswith("blobs/")}
    assert len(blobs) == 3
    assert all(name.endswith(hashlib.sha256(data).hexdigest()) for name, data in blobs.items())


def test_the_image_carries_its_full_name(archive: Path) -> None:
    described = json.loads(_members(archive)["index.json"])["manifests"][0]
    assert described["annotations"]["io.containerd.image.name"] == "docker.io/llmservice/thing:1"


def test_the_program_is_the_entry_point_and_runs_as_nobody(archive: Path) -> None:
    members = _members(archive)
    manifest = _blob(members, json.loads(members["index.json"])["manifests"][0]["digest"])
    config = json.loads(_blob(members, json.loads(manifest)["config"]["digest"]))["config"]
    assert config["Entrypoint"] == ["/thing"]
    assert config["User"] == "65532:65532"
    layer = _blob(members, json.loads(manifest)["layers"][0]["digest"])
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        assert tar.getmember("thing").mode == 0o755


def test_equal_programs_give_equal_bytes(archive: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar"
    oci.write(oci.Program("docker.io/llmservice/thing:1", tmp_path / "thing", "thing"), again)
    assert _members(again) == _members(archive)


def _blob(members: dict[str, bytes], digest: str) -> bytes:
    return members[f"blobs/sha256/{digest.removeprefix('sha256:')}"]

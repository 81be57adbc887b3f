"""Adapters from a real S3 server and a hub's mirror, as a replica brings them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llmservice_worker.adapters.checks import FILES, Base, Fault
from llmservice_worker.adapters.fetching import AdapterFetch
from llmservice_worker.adapters.files import AdapterFiles
from llmservice_worker.args import ADAPTER_ENDPOINTS
from tests.integration import hub_mirror, s3_server
from tests.integration.s3_server import CREDENTIALS, S3
from tests.unit.worker.adapters.directories import adapter, weights


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a sound adapter, and one that nobody needs."""
    directory = adapter(tmp_path_factory.mktemp("adapter"))
    return {file.name: file.read_bytes() for file in directory.iterdir()} | {"README.md": b"read me"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, content: dict[str, bytes]) -> Iterator[S3]:
    """With adapters that are sound, of a rank over ours, cut short, and only a pickle."""
    with s3_server.running(tmp_path_factory.mktemp("s3")) as found:
        found.put("adapters", "legal", content)
        found.put("adapters", "large", content | {"adapter_model.safetensors": weights(rank=32)})
        found.put("adapters", "short", content | {"adapter_model.safetensors": weights()[:-1]})
        pickle = {"adapter_config.json": content["adapter_config.json"], "adapter_model.bin": b"pickle"}
        found.put("adapters", "pickled", pickle)
        yield found


def files(tmp_path: Path, group: str, endpoint: str, **keys: str) -> AdapterFiles:
    """A replica's, told so, whose Secret has these keys."""
    secrets = tmp_path / "credentials"
    secrets.mkdir()
    for key, text in keys.items():
        (secrets / key).write_text(text)
    return AdapterFiles(tmp_path / "cache", Base(16), AdapterFetch({ADAPTER_ENDPOINTS[group]: endpoint}, secrets))


@pytest.mark.parametrize("uri", ["s3://adapters/legal", "gs://adapters/legal"])
def test_an_adapter_comes_from_s3(server: S3, tmp_path: Path, content: dict[str, bytes], uri: str) -> None:
    library = files(tmp_path, "s3", server.url, **CREDENTIALS)
    directory = library.bring(uri)
    assert {file.name: file.read_bytes() for file in directory.iterdir()} == {name: content[name] for name in FILES}
    library.drop(directory)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason", "said"),
    [
        ("none", "SourceNotFound", "s3://adapters/none"),
        ("large", "NotSupported", "has rank 32, over the engine's 16"),
        ("short", "Corrupt", "has a corrupt adapter_model.safetensors"),
        ("pickled", "WeightsNotAllowed", "adapter_model.bin"),
    ],
)
def test_what_cannot_be_served_is_said_and_leaves_nothing(
    server: S3, tmp_path: Path, name: str, reason: str, said: str
) -> None:
    with pytest.raises(Fault) as refused:
        files(tmp_path, "s3", server.url, **CREDENTIALS).bring(f"s3://adapters/{name}")
    assert refused.value.reason == reason
    assert said in refused.value.message
    assert "spec.model.source" not in refused.value.message
    assert list((tmp_path / "cache").iterdir()) == []


def test_wrong_credentials_are_refused(server: S3, tmp_path: Path) -> None:
    wrong = CREDENTIALS | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    with pytest.raises(Fault) as refused:
        files(tmp_path, "s3", server.url, **wrong).bring("s3://adapters/legal")
    assert refused.value.reason == "CredentialsRefused"


def test_an_adapter_comes_from_the_hub(tmp_path: Path, content: dict[str, bytes]) -> None:
    with hub_mirror.running() as mirror:
        mirror.private["org/legal"] = content
        directory = files(tmp_path, "hf", mirror.url, token=mirror.token).bring("hf://org/legal")
    assert sorted(file.name for file in directory.iterdir()) == sorted(FILES)

"""s3:// and gs:// from a real S3 server."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hack.cluster.poll import wait_until
from hack.cluster.ports import Ports
from llmservice_worker.fetch.failure import FetchFailed, Reason
from llmservice_worker.fetch.source import Source
from tests.integration import s3_server
from tests.integration.fetching import MIB, a_model, digest_of, fetch, laid_down, parts, process
from tests.integration.relay import Relay, relayed
from tests.integration.s3_server import CREDENTIALS, S3

MODEL = a_model()
SIZE = sum(map(len, MODEL.values()))
WEIGHTS = "/models/small/model.safetensors"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """With the model under `small/`, beside what no model needs."""
    with s3_server.running(tmp_path_factory.mktemp("s3")) as found:
        found.put("models", "small", MODEL | {"README.md": b"read me", "pytorch_model.bin": b"pickle"})
        found.put("models", "pickled", {"config.json": MODEL["config.json"], "pytorch_model.bin": b"pickle"})
        found.put("models", "short", MODEL | {"model.safetensors": MODEL["model.safetensors"][:-1]})
        found.put("models", "nothing", {"notes.md": b""})
        yield found


@pytest.fixture
def relay(server: S3) -> Iterator[Relay]:
    """Between the test and the server."""
    with relayed(server.host, server.port) as found:
        yield found


@pytest.fixture
def port() -> Iterator[int]:
    """A free one."""
    ports = Ports()
    yield ports.take()
    ports.release()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The volume."""
    return tmp_path / "models"


def source(endpoint: str, uri: str = "s3://models/small", pickles: bool = False) -> Source:
    """A source at an endpoint."""
    return Source(uri=uri, endpoint=endpoint, pickles=pickles)


@pytest.mark.parametrize("uri", ["s3://models/small", "s3://models/small/", "gs://models/small"])
def test_a_model_comes_whole_and_is_asked_for_once(server: S3, root: Path, uri: str) -> None:
    before = server.gets(WEIGHTS)
    wanted = source(server.url, uri)
    for _ in range(2):
        fetched = fetch(wanted, root, CREDENTIALS)
        assert (fetched.digest, fetched.bytes) == (digest_of(MODEL), SIZE)
    assert laid_down(wanted, root) == MODEL
    assert server.gets(WEIGHTS) == before + 1


def test_a_killed_download_goes_on_where_it_was(relay: Relay, root: Path, port: int) -> None:
    relay.hold_after = 3 * MIB + 200_000
    root.mkdir(parents=True)
    with process(source(relay.url), root, port, CREDENTIALS) as first:
        assert relay.held.wait(60)
        wait_until(lambda: parts(root) >= 3 * MIB, "what came is on the disk", timeout=30)
        assert first.progress()["phase"] == "Downloading"
        assert 50 <= first.progress()["percent"] < 100
    assert first.process.returncode == -9
    here, served = parts(root), relay.served
    relay.hold_after = None
    with process(source(relay.url), root, port, CREDENTIALS) as second:
        assert second.outcome() == (0, {"digest": digest_of(MODEL), "bytes": SIZE})
    assert relay.served - served < SIZE - here + 64 * 1024
    assert laid_down(source(relay.url), root) == MODEL


def test_a_connection_that_breaks_is_taken_up_again(relay: Relay, root: Path) -> None:
    relay.cut_after = 2 * MIB
    assert fetch(source(relay.url), root, CREDENTIALS).digest == digest_of(MODEL)
    assert relay.cut_after is None
    assert relay.served < SIZE + MIB + 64 * 1024


def test_four_at_once_are_one_download_and_the_others_wait(server: S3, relay: Relay, root: Path) -> None:
    before = server.gets(WEIGHTS)
    relay.hold_after = MIB
    root.mkdir(parents=True)
    ports = Ports()
    numbers = [ports.take() for _ in range(4)]
    wanted = source(relay.url)
    with (
        process(wanted, root, numbers[0], CREDENTIALS, "a") as a,
        process(wanted, root, numbers[1], CREDENTIALS, "b") as b,
        process(wanted, root, numbers[2], CREDENTIALS, "c") as c,
        process(wanted, root, numbers[3], CREDENTIALS, "d") as d,
    ):
        assert relay.held.wait(60)
        everyone = (a, b, c, d)
        phases = wait_until(
            lambda: (
                (found := sorted(each.progress().get("phase", "") for each in everyone))
                and found.count("Waiting") == 3
                and found
            ),
            "three wait",
            timeout=60,
        )
        assert phases == ["Downloading", "Waiting", "Waiting", "Waiting"]
        relay.release.set()
        assert [each.outcome() for each in everyone] == [(0, {"digest": digest_of(MODEL), "bytes": SIZE})] * 4
    ports.release()
    assert server.gets(WEIGHTS) == before + 1


def test_a_byte_that_was_changed_on_the_way_is_corrupt_and_heals(relay: Relay, root: Path) -> None:
    relay.flip_at = 2 * MIB
    with pytest.raises(FetchFailed, match=r"model\.safetensors has md5") as failed:
        fetch(source(relay.url), root, CREDENTIALS)
    assert failed.value.reason is Reason.CORRUPT
    relay.flip_at = None
    assert fetch(source(relay.url), root, CREDENTIALS).digest == digest_of(MODEL)


FAILURES: dict[str, tuple[str, dict[str, str], Reason, str]] = {
    "wrong secret": (
        "s3://models/small",
        CREDENTIALS | {"AWS_SECRET_ACCESS_KEY": "wrong"},
        Reason.CREDENTIALS_REFUSED,
        "credentialsSecretRef",
    ),
    "unknown key": (
        "s3://models/small",
        CREDENTIALS | {"AWS_ACCESS_KEY_ID": "nobody"},
        Reason.CREDENTIALS_REFUSED,
        "AWS_ACCESS_KEY_ID",
    ),
    "no credentials": ("s3://models/small", {}, Reason.CREDENTIALS_REFUSED, "credentialsSecretRef"),
    "no such bucket": ("s3://no-such-bucket/small", CREDENTIALS, Reason.SOURCE_NOT_FOUND, "NoSuchBucket"),
    "no such folder": ("s3://models/no-such", CREDENTIALS, Reason.SOURCE_NOT_FOUND, "holds no object"),
    "no model": ("s3://models/nothing", CREDENTIALS, Reason.SOURCE_NOT_FOUND, "no config.json"),
    "pickles": ("s3://models/pickled", CREDENTIALS, Reason.WEIGHTS_NOT_ALLOWED, "pytorch_model.bin"),
    "weights that were cut short": ("s3://models/short", CREDENTIALS, Reason.CORRUPT, "corrupt model.safetensors"),
}


@pytest.mark.parametrize(("uri", "credentials", "reason", "text"), FAILURES.values(), ids=FAILURES)
def test_each_failure_has_its_reason(
    server: S3, root: Path, uri: str, credentials: dict[str, str], reason: Reason, text: str
) -> None:
    with pytest.raises(FetchFailed) as failed:
        fetch(source(server.url, uri), root, credentials)
    assert failed.value.reason is reason
    assert text in failed.value.message
    assert "wrong" not in failed.value.message
    assert not Path(source(server.url, uri).directory(str(root))).exists()


def test_a_server_that_is_not_there_is_unreachable(root: Path, port: int) -> None:
    with pytest.raises(FetchFailed, match="cannot be reached") as failed:
        fetch(source(f"http://127.0.0.1:{port}"), root, CREDENTIALS)
    assert failed.value.reason is Reason.SOURCE_UNREACHABLE


def test_allowed_pickles_are_fetched(server: S3, root: Path) -> None:
    wanted = source(server.url, "s3://models/pickled", pickles=True)
    with pytest.raises(FetchFailed, match="no tokenizer"):
        fetch(wanted, root, CREDENTIALS)
    server.put("models", "pickled", {"tokenizer.json": b"{}"})
    fetch(wanted, root, CREDENTIALS)
    assert sorted(laid_down(wanted, root)) == ["config.json", "pytorch_model.bin", "tokenizer.json"]


def test_a_public_bucket_needs_no_credentials(server: S3, root: Path) -> None:
    server.put("public", "small", MODEL)
    rule = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject", "s3:ListBucket"],
        "Resource": ["arn:aws:s3:::public", "arn:aws:s3:::public/*"],
    }
    server.client.put_bucket_policy(Bucket="public", Policy=json.dumps({"Version": "2012-10-17", "Statement": [rule]}))
    assert fetch(source(server.url, "s3://public/small"), root).digest == digest_of(MODEL)


def test_the_process_says_why_it_failed_and_heals_when_the_credentials_do(server: S3, root: Path, port: int) -> None:
    root.mkdir(parents=True)
    wrong = CREDENTIALS | {"AWS_SECRET_ACCESS_KEY": "wrong"}
    with process(source(server.url), root, port, wrong) as running:
        wait_until(lambda: "reason" in running.progress(), "it says why", timeout=60)
        said = running.progress()
        assert (said["phase"], said["reason"]) == ("Failed", "CredentialsRefused")
        (root.parent / "credentials" / "AWS_SECRET_ACCESS_KEY").write_text(CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
        assert running.outcome() == (0, {"digest": digest_of(MODEL), "bytes": SIZE})
    log = (root.parent / "fetch.log").read_text()
    assert "wrong" not in json.dumps(said) + log
    assert CREDENTIALS["AWS_SECRET_ACCESS_KEY"] not in log


def test_the_process_ends_when_its_pod_does(relay: Relay, root: Path, port: int) -> None:
    relay.hold_after = MIB
    root.mkdir(parents=True)
    with process(source(relay.url), root, port, CREDENTIALS) as running:
        assert relay.held.wait(60)
        running.process.terminate()
        assert running.process.wait(10) == 143

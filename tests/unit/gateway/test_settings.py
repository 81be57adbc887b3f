"""Settings: each bad one is one clear line."""

import base64
from contextlib import nullcontext
from pathlib import Path

import pytest

from llmservice_gateway import pepper
from llmservice_gateway.settings import Settings, SettingsError, from_environment
from tests.unit.gateway.builders import PEPPER


def test_nothing_set_is_the_contract() -> None:
    settings = from_environment({"HOME": "/"})
    assert settings == Settings()
    ports = (settings.public_port, settings.metrics_port, settings.agent_port, settings.inner_port)
    assert ports == (8080, 8404, 8405, 8406)
    assert settings.small_body == 57344


def test_values_are_typed() -> None:
    environment = {"LLMSERVICE_GATEWAY_THREADS": "4", "LLMSERVICE_GATEWAY_RUN_DIRECTORY": "/tmp/x"}
    assert from_environment(environment) == Settings(threads=4, run_directory=Path("/tmp/x"))
    named = from_environment({"LLMSERVICE_GATEWAY_WATCH_NAMESPACES": "b,a,b"})
    assert named.watch_namespaces == ("b", "a")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("THREADS", "0", "whole number from 1 to 64"),
        ("THREADS", "two", "whole number"),
        ("THREADS", "-1", "whole number"),
        ("THREADS", "1.5", "whole number"),
        ("THREADS", "", "whole number"),
        ("THREADS", "٣", "whole number"),
        ("BUFFER_SIZE", "1024", "from 49152 to 1048576"),
        ("PEPPER_FILE", "pepper", "absolute path"),
        ("ADDRESS", "a b", "an IP address"),
        ("ADDRESS", "localhost", "an IP address"),
        ("HAPROXY", "", "one word"),
        ("TRACING_ENDPOINT", "otel:4317", "base URL of an OTLP/HTTP receiver"),
        ("TRACING_ENDPOINT", "http://a b", "one word"),
        ("TRACING_SAMPLES_PER_MILLION", "1000001", "from 0 to 1000000"),
        ("TREADS", "1", "is not a setting"),
        ("WATCH_NAMESPACES", "", "names of namespaces, separated by commas"),
        ("WATCH_NAMESPACES", "a,", "names of namespaces"),
        ("WATCH_NAMESPACES", "a, B", "names of namespaces"),
    ],
)
def test_bad_values(name: str, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=rf"LLMSERVICE_GATEWAY_{name}\b.*{said}"):
        from_environment({f"LLMSERVICE_GATEWAY_{name}": text})


@pytest.mark.parametrize(
    ("set_to", "said"),
    [
        ({"BODY_MEMORY": "8388607"}, "BODY_MEMORY must be at least 8388608 .*LARGE_BODY.*not 8388607"),
        ({"LARGE_BODY": "1073741824"}, "BODY_MEMORY must be at least 1073741824 "),
        ({"BODY_MEMORY": "229375", "LARGE_BODY": "65536"}, "BODY_MEMORY must be at least 229376 .*BUFFER_SIZE"),
        ({"LIMITED_KEYS": "2000"}, "LIMITED_KEYS must be at least 2001 .*MAX_CONNECTIONS.*not 2000"),
        ({"MAX_CONNECTIONS": "100000"}, "LIMITED_KEYS must be at least 100001 "),
        ({"BODY_MEMORY": "8388608", "LIMITED_KEYS": "2001"}, None),
        ({"BODY_MEMORY": "229376", "LARGE_BODY": "65536"}, None),
    ],
)
def test_values_that_do_not_go_together(set_to: dict[str, str], said: str | None) -> None:
    environment = {f"LLMSERVICE_GATEWAY_{name}": text for name, text in set_to.items()}
    with pytest.raises(SettingsError, match=f"LLMSERVICE_GATEWAY_{said}") if said else nullcontext():
        from_environment(environment)


def test_pepper(tmp_path: Path) -> None:
    file = tmp_path / "pepper"
    file.write_text(PEPPER.base64 + "\n")
    assert pepper.read(file) == PEPPER
    assert PEPPER.base64 not in repr(PEPPER)


@pytest.mark.parametrize("text", ["", "short", "!", base64.b64encode(b"a" * 31).decode(), "é"])
def test_a_bad_pepper(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pepper"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError, match="pepper in"):
        pepper.read(file)
    with pytest.raises(SettingsError, match="cannot be read"):
        pepper.read(tmp_path / "none")


def test_digests_are_those_of_the_contract() -> None:
    """hmac with the pepper 00..1f, computed with openssl."""
    digest = PEPPER.digest("llms_0000000000000001.secret")
    assert digest == "6506adffa54ad398a6cbc97c0bd185cdec61b2af7eb76a3a43763bd4839d1fce"
    assert PEPPER.probe_key() == "llms_probe.7m0UOio-Oyl8W-Z2EGUNLnv6LVpJPymnLaW9mDtKVUM"

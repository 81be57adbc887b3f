"""Install steps: values from image references, conditions, a model placed without a second copy."""

from pathlib import Path

import pytest

from hack import install

IMAGES = install.Images("docker.io/l/operator:a", "docker.io/l/gateway:b", "docker.io/l/worker:cpu-c")


@pytest.mark.parametrize(
    ("reference", "values"),
    [
        ("docker.io/l/operator:0123", {"repository": "docker.io/l/operator", "tag": "0123"}),
        ("localhost:5000/operator:1", {"repository": "localhost:5000/operator", "tag": "1"}),
        ("docker.io/l/x@sha256:00", {"repository": "docker.io/l/x", "digest": "sha256:00"}),
    ],
)
def test_a_reference_becomes_chart_values(reference: str, values: dict[str, str]) -> None:
    assert install.image_values(reference) == values


def test_given_values_win_key_by_key() -> None:
    ours = install.chart_values(IMAGES, "http://10.0.0.1")
    merged = install._merged(
        ours, {"gateway": {"replicas": 2, "drain": {"timeoutSeconds": 5}}, "crds": {"install": True}}
    )
    assert merged["gateway"]["image"] == {"repository": "docker.io/l/gateway", "tag": "b"}
    assert merged["gateway"]["publicURL"] == "http://10.0.0.1"
    assert merged["gateway"]["drain"] == {"timeoutSeconds": 5}
    assert merged["crds"] == {"install": True}


@pytest.mark.parametrize(
    ("generation", "expected"),
    [(2, "Serving"), (3, None)],
)
def test_a_condition_of_an_older_generation_does_not_count(generation: int, expected: str | None) -> None:
    ready = {"type": "Ready", "status": "True", "reason": "Serving", "observedGeneration": 2}
    obj = {"metadata": {"generation": generation}, "status": {"conditions": [ready]}}
    assert install.condition(obj, "Ready").get("reason") == expected


@pytest.mark.parametrize("obj", [None, {"metadata": {"generation": 1}}, {"metadata": {"generation": 1}, "status": {}}])
def test_what_has_no_status_has_no_condition(obj: install.Json | None) -> None:
    assert install.condition(obj, "Ready") == {}


def test_a_model_is_placed_once_and_shares_its_files(tmp_path: Path) -> None:
    model, folder = tmp_path / "prepared" / "tiny", tmp_path / "volume"
    model.mkdir(parents=True)
    folder.mkdir()
    (model / "model.safetensors").write_bytes(b"weights")
    for _ in range(2):
        install.place_model(model, folder)
    assert (folder / "tiny" / "model.safetensors").samefile(model / "model.safetensors")
    assert [path.name for path in folder.iterdir()] == ["tiny"]


def test_a_model_that_was_prepared_anew_takes_the_old_ones_place(tmp_path: Path) -> None:
    model, folder = tmp_path / "prepared" / "tiny", tmp_path / "volume"
    model.mkdir(parents=True)
    folder.mkdir()
    for text in ("old", "new"):
        (model / "config.json").unlink(missing_ok=True)
        (model / "config.json").write_text(text)
        install.place_model(model, folder)
    assert (folder / "tiny" / "config.json").read_text() == "new"

"""Command lines of the builders and of kind."""

from pathlib import Path

from hack.cluster import engine, kind
from hack.cluster.images import buildah, transfer
from hack.cluster.images.components import Component

WORKER = Component("worker", {"TARGET": "cpu"}, "cpu-")


def test_buildah_builds_the_ordinary_dockerfile_on_our_base() -> None:
    words = buildah.build_words(
        WORKER, "docker.io/llmservice/worker:cpu-1", "docker.io/llmservice/debian:1", ["/a:/b:ro"]
    )
    assert words[0] == "buildah"
    assert "--isolation=chroot" in words
    assert "--build-arg=BASE=docker.io/llmservice/debian:1" in words
    assert "--build-arg=TARGET=cpu" in words
    assert "--volume=/a:/b:ro" in words
    assert "--tag=docker.io/llmservice/worker:cpu-1" in words


def test_docker_builds_the_same_dockerfile_on_the_public_base() -> None:
    words = engine.build_words(WORKER, "docker.io/llmservice/worker:cpu-1", "debian:12-slim")
    assert words[:2] == ["docker", "build"]
    assert "--build-arg=BASE=debian:12-slim" in words


def test_pip_settings_of_the_machine_are_taken_by_name() -> None:
    environment = {"PIP_INDEX_URL": "https://index", "PIP_FIND_LINKS": "/here/only", "PATH": "/bin"}
    assert buildah.from_environment(environment) == {"index-url": "https://index"}


def test_a_command_in_an_image_with_docker() -> None:
    words = engine.run_words("image", ["python", "-V"], {Path("/models"): "/m"}, "0:0")
    assert words == [
        "docker",
        "run",
        "--rm",
        "--volume=/models:/m",
        "--user=0:0",
        "--entrypoint=",
        "image",
        "python",
        "-V",
    ]


def test_kind_maps_the_ingress_ports_and_the_models_folder() -> None:
    node = kind.config()["nodes"][0]
    assert [mapping["hostPort"] for mapping in node["extraPortMappings"]] == [80, 443]
    assert node["extraMounts"][0]["hostPath"] == node["extraMounts"][0]["containerPath"]


def test_kind_is_called_for_one_cluster_and_our_kubeconfig() -> None:
    create = kind.create_words(Path("/config"))
    assert create[0].endswith("kind")
    assert create[1:3] == ["create", "cluster"]
    assert "--config=/config" in create
    for words in (create, kind.delete_words()):
        assert "--name=llmservice" in words
        assert f"--kubeconfig={kind.KUBECONFIG}" in words
    assert kind.load_archive_words(Path("/a.tar"))[1:3] == ["load", "image-archive"]
    assert kind.address_words()[-1] == "llmservice-control-plane"


def test_layers_leave_the_storage_uncompressed() -> None:
    words = transfer.copy_words("docker.io/llmservice/gateway:1", Path("/layout"))
    assert words[:2] == ["skopeo", "copy"]
    assert "--dest-oci-accept-uncompressed-layers" in words
    assert words[-1] == "oci:/layout:docker.io/llmservice/gateway:1"

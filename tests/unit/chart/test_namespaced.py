"""Namespaced mode beside its rights (test_rbac): pools as values, and what each part is told."""

from pathlib import Path
from typing import Any

import pytest

from hack.cluster.failure import ClusterError
from llmservice_api.gpupool import GPUPoolSpec
from llmservice_gateway import settings as gateway_settings
from llmservice_operator import settings as operator_settings
from llmservice_operator.pool_file import read_pools
from tests.unit.chart.rendering import NAMESPACE, Rendered, namespaced, render
from tests.unit.chart.test_values import SCHEMA

WATCHED = "watchNamespaces={a}"
L4 = ("gpuPools.l4.image=x:1", "gpuPools.l4.accelerator.memory=24Gi", "gpuPools.l4.maxNodes=4")


def mounted(chart: Rendered, file: Path) -> str:
    """What the operator finds at a path, of ConfigMaps."""
    pod = chart.pods()["operator"]
    (mount,) = [each for each in pod["containers"][0]["volumeMounts"] if Path(each["mountPath"]) == file.parent]
    (volume,) = [each for each in pod["volumes"] if each["name"] == mount["name"]]
    return str(chart.get("ConfigMap", volume["configMap"]["name"], NAMESPACE)["data"][file.name])


def started(chart: Rendered) -> Any:
    """The operator's settings by the chart."""
    return operator_settings.from_environment({"LLMSERVICE_NAMESPACE": NAMESPACE} | chart.environment("operator"))


def test_the_operator_reads_the_pools_that_the_chart_writes(tmp_path: Path) -> None:
    chart = namespaced("a", settings=L4)
    settings = started(chart)
    assert (settings.namespaces, settings.install.sees_cluster) == (("a", NAMESPACE), False)
    file = tmp_path / "pools"
    file.write_text(mounted(chart, settings.pools_file))
    pools = {pool["metadata"]["name"]: GPUPoolSpec.model_validate(pool["spec"]) for pool in read_pools(file)}
    assert set(pools) == {"cpu", "l4"}
    assert pools["l4"].accelerator is not None
    assert (pools["l4"].accelerator.memory, pools["l4"].max_nodes) == ("24Gi", 4)


def test_other_pools_start_the_operator_anew_and_nothing_else_does() -> None:
    def annotations(*settings: str) -> Any:
        template = namespaced("a", settings=settings).get("Deployment", "operator")["spec"]["template"]
        return template["metadata"]["annotations"]

    assert annotations() == annotations("gateway.replicas=2") != annotations(*L4)
    assert annotations("operator.podAnnotations.a=b")["a"] == "b"


def test_the_gateway_watches_the_namespaces_that_the_operator_serves() -> None:
    chart = namespaced("b", "a")
    found = gateway_settings.from_environment(
        {name: text for name, text in chart.environment("gateway").items() if name.startswith(gateway_settings.PREFIX)}
    )
    assert set(found.watch_namespaces) == set(started(chart).namespaces) == {"a", "b", NAMESPACE}


def test_the_whole_cluster_takes_its_pools_from_the_cluster() -> None:
    chart = render()
    settings = started(chart)
    assert (settings.namespaces, settings.pools_file, settings.install.sees_cluster) == ((), None, True)
    assert [obj["metadata"]["name"] for obj in chart.of_kind("ConfigMap")] == []


def test_the_schema_names_what_a_pool_has() -> None:
    wire = {field.alias for field in GPUPoolSpec.model_fields.values()}
    assert set(SCHEMA["definitions"]["gpuPool"]["properties"]) == wire


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ((WATCHED,), "gpuPools is not"),
        (("gpuPools.cpu.image=x",), "watchNamespaces is not"),
        ((WATCHED, "gpuPools.cpu.imag=x"), "gpuPools/cpu"),
        ((WATCHED, "gpuPools.cpu.spot=true"), "image"),
        ((WATCHED, "gpuPools.CPU.image=x"), "'CPU' does not match"),
        ((WATCHED, "gpuPools.cpu.image=x", "gpuPools.cpu.maxNodes=0"), "gpuPools/cpu/maxNodes"),
        ((WATCHED, "gpuPools.cpu=x"), "gpuPools/cpu"),
    ],
)
def test_nonsense_is_refused(settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        render(*settings)

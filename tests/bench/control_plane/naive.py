"""A naive operator of kopf: handlers that create and update, with the official client, as tutorials have it.

python -m tests.bench.control_plane.naive    # KUBECONFIG says as whom
"""

import json
import logging
from typing import Any

import kopf
from kubernetes import client, config, dynamic

from llmservice_api.names import LLMSERVICES
from llmservice_operator.cluster import API_VERSIONS
from tests.bench.control_plane.load import UID, children


def applied(body: kopf.Body, memo: kopf.Memo, **_: Any) -> dict[str, str]:
    """The children, one after the other."""
    for plural, text in children(int(body.metadata["name"].removeprefix("s"))):
        obj = json.loads(text.replace(UID, body.metadata["uid"]))
        kind = memo.cluster.resources.get(api_version=API_VERSIONS[plural], kind=obj["kind"])
        memo.cluster.server_side_apply(kind, body=obj, field_manager="naive", force_conflicts=True)
    return {"phase": "Applied"}


def main() -> None:
    """Until it is ended."""
    logging.basicConfig(level=logging.WARNING)
    config.load_kube_config()
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_with_kubeconfig)
    for on in (kopf.on.create, kopf.on.update):
        on("llmservice.io", "v1alpha1", LLMSERVICES, registry=registry)(applied)
    memo = kopf.Memo(cluster=dynamic.DynamicClient(client.ApiClient()))
    kopf.run(registry=registry, memo=memo, clusterwide=True, standalone=True)


if __name__ == "__main__":
    main()

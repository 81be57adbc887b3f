"""Folders of the node as PersistentVolumes: the models in the cache, for any namespace, and the ledger's own."""

import os
from pathlib import Path
from typing import Any

from hack.cluster.api import Api
from hack.cluster.cache import BUILD, cache_root, full_state

CLASS = "models"
CLAIM = "models"
SIZE = "200Gi"
LEDGER = "ledger"
USER = 65532
_DEFAULT = "storageclass.kubernetes.io/is-default-class"


def folder() -> Path:
    """Where the models lie on the node; survives the cluster."""
    return cache_root() / "models-volume"


def storage_class() -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": CLASS},
        "provisioner": "kubernetes.io/no-provisioner",
        "reclaimPolicy": "Retain",
        "volumeBindingMode": "Immediate",
    }


def objects(namespace: str) -> list[dict[str, Any]]:
    """A volume reserved for the claim `models` of a namespace, and that claim."""
    modes = ["ReadOnlyMany", "ReadWriteOnce"]
    return [
        _volume(f"models-{namespace}", namespace, CLAIM, folder(), modes),
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": CLAIM, "namespace": namespace},
            "spec": {
                "storageClassName": CLASS,
                "accessModes": modes,
                "volumeName": f"models-{namespace}",
                "resources": {"requests": {"storage": SIZE}},
            },
        },
    ]


def ledger_volume(namespace: str, kubeconfig: Path) -> None:
    """A volume for the claim `ledger` of a namespace, where no class of the cluster makes one."""
    api = Api(kubeconfig)
    classes = api.get("/apis/storage.k8s.io/v1/storageclasses") or {"items": []}
    if has_default(classes["items"]):
        return
    place = full_state() / LEDGER
    place.mkdir(parents=True, exist_ok=True)
    os.chown(place, USER, USER)
    _let_go(api, f"{LEDGER}-{namespace}")
    api.apply([_volume(f"{LEDGER}-{namespace}", namespace, LEDGER, place, ["ReadWriteOnce"], storage_class_name="")])


def has_default(classes: list[dict[str, Any]]) -> bool:
    """Whether one of the cluster's StorageClasses makes volumes for claims that name none."""
    return any(each["metadata"].get("annotations", {}).get(_DEFAULT) == "true" for each in classes)


def _volume(
    name: str, namespace: str, claim: str, place: Path, modes: list[str], storage_class_name: str = CLASS
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "storageClassName": storage_class_name,
            "capacity": {"storage": SIZE},
            "accessModes": modes,
            "persistentVolumeReclaimPolicy": "Retain",
            "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim},
            "hostPath": {"path": str(place), "type": "DirectoryOrCreate"},
        },
    }


def _let_go(api: Api, name: str) -> None:
    """Deletes a volume whose claim is gone: it would not be bound again."""
    volume = api.get(f"/api/v1/persistentvolumes/{name}")
    if volume and volume.get("status", {}).get("phase") in ("Released", "Failed"):
        api.kubectl("delete", "persistentvolume", name)


def model_volume(namespace: str, kubeconfig: Path | None = None) -> Path:
    """Give `namespace` (which exists) the claim `models`; return the folder on the node that it shows."""
    folder().mkdir(parents=True, exist_ok=True)
    api = Api(kubeconfig or BUILD / "kubeconfig")
    _let_go(api, f"models-{namespace}")
    api.apply([storage_class(), *objects(namespace)])
    return folder()

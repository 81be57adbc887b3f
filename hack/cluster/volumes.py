"""The folder of models in the cache, as a PersistentVolume bound to a claim in any namespace."""

from pathlib import Path
from typing import Any

from hack.cluster.api import Api
from hack.cluster.cache import BUILD, cache_root

CLASS = "models"
CLAIM = "models"
SIZE = "200Gi"


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
        {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"models-{namespace}"},
            "spec": {
                "storageClassName": CLASS,
                "capacity": {"storage": SIZE},
                "accessModes": modes,
                "persistentVolumeReclaimPolicy": "Retain",
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": namespace,
                    "name": CLAIM,
                },
                "hostPath": {"path": str(folder()), "type": "DirectoryOrCreate"},
            },
        },
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


def model_volume(namespace: str, kubeconfig: Path | None = None) -> Path:
    """Give `namespace` (which exists) the claim `models`; return the folder on the node that it shows."""
    folder().mkdir(parents=True, exist_ok=True)
    api = Api(kubeconfig or BUILD / "kubeconfig")
    volume = api.get(f"/api/v1/persistentvolumes/models-{namespace}")
    if volume and volume.get("status", {}).get("phase") in ("Released", "Failed"):
        api.kubectl("delete", "persistentvolume", f"models-{namespace}")
    api.apply([storage_class(), *objects(namespace)])
    return folder()

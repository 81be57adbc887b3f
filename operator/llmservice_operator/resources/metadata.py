"""What all children share: owner, labels, and the hash by which a dropped field is noticed."""

from typing import Any, Final

from llmservice_api.names import API_VERSION, GROUP, content_hash

Json = dict[str, Any]

HASH_ANNOTATION: Final = f"{GROUP}/applied"


def owner_reference(kind: str, owner: Json) -> Json:
    """The controller reference to an object of ours."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def sealed(obj: Json) -> Json:
    """The object with its own hash as an annotation, so that a field that is no longer wanted shows as a change."""
    metadata = obj["metadata"]
    annotations = metadata.get("annotations", {}) | {HASH_ANNOTATION: content_hash(obj, 12)}
    return obj | {"metadata": metadata | {"annotations": annotations}}


def is_intact(desired: Any, observed: Any) -> bool:
    """Whether all that is desired stands in what is observed; what others added does not matter."""
    if desired == observed:  # most parts are, and are compared at once
        return True
    if isinstance(desired, dict):
        return isinstance(observed, dict) and all(
            key in observed and is_intact(value, observed[key]) for key, value in desired.items()
        )
    if isinstance(desired, list):
        return (
            isinstance(observed, list)
            and len(desired) == len(observed)
            and all(is_intact(*pair) for pair in zip(desired, observed, strict=True))
        )
    return False

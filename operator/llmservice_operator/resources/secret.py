"""The Secret in which an application finds its key."""

from typing import Any, Final

from llmservice_api.names import GROUP, labels
from llmservice_operator.resources.metadata import owner_reference

Json = dict[str, Any]

KEY_ID_ANNOTATION: Final = f"{GROUP}/key-id"


def make_key_secret(api_key: Json, key_id: str, key: str, base_url: str, version: str | None = None) -> Json:
    """A Secret named as the APIKey; its type is ours, so that a foreign Secret of that name cannot be taken over.

    It says which key it shows, for who may read metadata only. With `version` it replaces no other than that one.
    """
    name = api_key["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "llmservice.io/api-key",
        "metadata": {
            "name": name,
            "namespace": api_key["metadata"]["namespace"],
            "labels": labels(name, "api-key"),
            "annotations": {KEY_ID_ANNOTATION: key_id},
            "ownerReferences": [owner_reference("APIKey", api_key)],
            **({"resourceVersion": version} if version else {}),
        },
        "stringData": {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": base_url},
    }

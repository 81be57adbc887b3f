"""The Secret in which an application finds its key."""

from typing import Any

from llmservice_api.names import labels
from llmservice_operator.resources.metadata import owner_reference

Json = dict[str, Any]


def make_key_secret(api_key: Json, key: str, base_url: str) -> Json:
    """A Secret named as the APIKey; its type is ours, so that a foreign Secret of that name cannot be taken over."""
    name = api_key["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "llmservice.io/api-key",
        "metadata": {
            "name": name,
            "namespace": api_key["metadata"]["namespace"],
            "labels": labels(name, "api-key"),
            "ownerReferences": [owner_reference("APIKey", api_key)],
        },
        "stringData": {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": base_url},
    }

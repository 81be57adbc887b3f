"""Ports of a replica's pod. Nothing is imported: the preStop hook reads it on a busy node."""

from typing import Final

SIDE: Final = 8090
"""`llmservice_api.names.REPLICA_PORT`, which the worker's image does not hold."""

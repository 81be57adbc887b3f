"""Fetching a model or an adapter into a volume: resumable, verified, once for all who share the volume."""

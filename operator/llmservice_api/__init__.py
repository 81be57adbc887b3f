"""The API group llmservice.io: pydantic models (the one source of CRDs, defaults and docs), names, labels, reasons."""

"""How operator and gateway log: one JSON object a line, with the ids that a line is found by as fields of their own."""

import json
import logging
from datetime import UTC, datetime

FIELDS = "fields"
"""In a record's `extra`: what becomes fields of the line, of JSON types."""


class JsonLines(logging.Formatter):
    """A record as `time`, `level`, `logger`, `message`, its fields, and `exception` where it has one."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, FIELDS, {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)

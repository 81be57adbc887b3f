"""Events as a file, CSV or Parquet, streamed: memory holds one batch of rows, however many there are."""

import asyncio
import csv
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from aiohttp import web

from llmservice_gateway.ledger.answers import bad_request
from llmservice_gateway.ledger.bulkhead import Bulkhead
from llmservice_gateway.ledger.pricing import DIGITS, decimal
from llmservice_gateway.ledger.query import Query, choice, required
from llmservice_gateway.ledger.reports import Reports
from llmservice_gateway.ledger.schema import EVENTS

_LOG: Final = logging.getLogger(__name__)
BATCH: Final = 2000
LONGEST: Final = 600.0
"""Seconds that an export may take: it holds the place of a report as long as its client reads."""
_INSTANTS: Final = ("time", "received")
_KINDS: Final = {"BIGINT": pa.int64(), "INTEGER": pa.int32(), "BOOLEAN": pa.bool_()}
SCHEMA: Final = pa.schema(
    [
        *(
            pa.field(each.name, _KINDS.get(str(each.type), pa.string()))
            for each in EVENTS.c
            if each.name not in (*_INSTANTS, "cost")
        ),
        *(pa.field(name, pa.timestamp("ms", tz="UTC")) for name in _INSTANTS),
        pa.field("cost", pa.decimal128(28, DIGITS)),
        pa.field("currency", pa.string()),
    ]
)
Row = dict[str, Any]


class Format(Protocol):
    """Turns batches into bytes."""

    content_type: str

    def begin(self) -> bytes:
        """What the file begins with."""

    def add(self, rows: Sequence[Row]) -> bytes:
        """The bytes of a batch."""

    def end(self) -> bytes:
        """What the file ends with."""


class Csv:
    """RFC 4180, with a header; instants are RFC 3339, what is null is empty."""

    content_type = "text/csv; charset=utf-8"

    def begin(self) -> bytes:
        """The header."""
        return _csv([SCHEMA.names])

    def add(self, rows: Sequence[Row]) -> bytes:
        """Lines."""
        return _csv([[_cell(row[name]) for name in SCHEMA.names] for row in rows])

    def end(self) -> bytes:
        """Nothing."""
        return b""


class Parquet:
    """One row group a batch."""

    content_type = "application/vnd.apache.parquet"

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer = pq.ParquetWriter(self._sink, SCHEMA)

    def begin(self) -> bytes:
        """The file's first bytes."""
        return self._sink.taken()

    def add(self, rows: Sequence[Row]) -> bytes:
        """A row group."""
        self._writer.write_table(pa.Table.from_pylist(list(rows), schema=SCHEMA))
        return self._sink.taken()

    def end(self) -> bytes:
        """The file's footer."""
        self._writer.close()
        return self._sink.taken()


FORMATS: Final[Mapping[str, Callable[[], Format]]] = {"csv": Csv, "parquet": Parquet}


async def export(
    request: web.Request,
    query: Query,
    reports: Reports,
    bulkhead: Bulkhead,
    scope: str | None,
    currency: str,
    longest: float = LONGEST,
) -> web.StreamResponse:
    """The answer; raises Said where the question is wrong.

    A failure in the middle, or a client that has not read it after `longest` seconds, breaks the answer off.
    """
    name = choice(query, "format", tuple(FORMATS), "csv")
    start, end = required(query, "start_time"), required(query, "end_time")
    if end <= start:
        raise bad_request("end_time must be after start_time.", "end_time")
    batches = reports.events(start * 1000, end * 1000, scope, BATCH)
    first = await bulkhead.run(next, batches, None)
    file = FORMATS[name]()
    response = web.StreamResponse(headers={"content-type": file.content_type})
    response.headers["content-disposition"] = f'attachment; filename="usage-{start}-{end}.{name}"'
    await response.prepare(request)
    try:
        async with asyncio.timeout(longest):
            await response.write(file.begin())
            while first is not None:
                rows = [exported(row, currency) for row in first]
                await response.write(await bulkhead.run(file.add, rows))
                first = await bulkhead.run(next, batches, None)
            await response.write(file.end())
            await response.write_eof()
    except TimeoutError:
        _LOG.warning("an export was broken off after %g s", longest)
        if request.transport is not None:  # else what is written already would wait for the client as long as before
            request.transport.abort()
    return response


def exported(row: Mapping[str, Any], currency: str) -> Row:
    """An event as people and sheets read it."""
    instants = {name: datetime.fromtimestamp(row[name] / 1000, UTC) for name in _INSTANTS}
    return {**row, **instants, "cost": decimal(row["cost"]), "currency": currency}


class _Sink(io.RawIOBase):
    """A file that is only written to, and taken from."""

    def __init__(self) -> None:
        super().__init__()
        self._held = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._held += data
        return len(data)

    def taken(self) -> bytes:
        """What was written since."""
        found = bytes(self._held)
        self._held.clear()
        return found


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if hasattr(value, "as_tuple") else value

"""A request's place in a trace (W3C traceparent), as rules and log fields of HAProxy's configuration.

A good traceparent of the client is kept, with its sampled flag; else the gateway begins a trace of its own.
"""

from typing import Final

_GOOD: Final = "^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$"

IDS: Final = f"""\
  http-request set-var(txn.begun) date(0,us)
  acl has_trace req.fhdr(traceparent) -m reg '{_GOOD.replace("{", "{{").replace("}", "}}")}'
  acl one_trace req.fhdr_cnt(traceparent) 1
  http-request set-var(txn.trace) req.fhdr(traceparent),field(2,-) if one_trace has_trace
  http-request set-var(txn.parent) req.fhdr(traceparent),field(3,-) if one_trace has_trace
  http-request set-var(txn.flags) req.fhdr(traceparent),field(4,-) if one_trace has_trace
  acl traced var(txn.trace) -m found
  http-request set-var(txn.flags) str(00) unless traced
  http-request set-var(txn.flags) str(01) if !traced {{{{ rand(1000000) lt {{samples}} }}}}
  http-request del-header tracestate unless traced
  http-request set-var(txn.trace) uuid(),regsub(-,,g) unless traced
  http-request set-var(txn.span) uuid(),regsub(-,,g),bytes(16,16)"""
"""`samples`: of how many of a million traces that begin here spans are kept."""

PASSED_ON: Final = "  http-request set-header traceparent 00-%[var(txn.trace)]-%[var(txn.span)]-%[var(txn.flags)]"

LOGGED: Final = (
    ',"trace_id":"%[var(txn.trace)]","span_id":"%[var(txn.span)]","parent_id":"%[var(txn.parent)]",'
    '"flags":"%[var(txn.flags)]","begun_us":"%[var(txn.begun)]","ended_us":"%[date(0,us)]"'
)
"""Further fields of the access log's line, which is one JSON object."""

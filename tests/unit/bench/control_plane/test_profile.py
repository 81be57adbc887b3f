"""From stacks to shares."""

from tests.bench.control_plane.profile import shares

RECONCILE = "_run (/lib/asyncio/events.py:84);reconcile (/app/llmservice_operator/reconcile.py:70)"
STACKS = f"""\
{RECONCILE};decide (/app/llmservice_operator/plan.py:101);seal (/app/llmservice_operator/resources/metadata.py:24) 4
{RECONCILE};execute (/app/llmservice_operator/execute.py:30);apply (/app/llmservice_operator/cluster.py:120) 3
_run (/lib/asyncio/events.py:84);data_received (/lib/aiohttp/client_proto.py:9) 2
_run (/lib/asyncio/events.py:84) 1
"""


def test_each_sample_counts_for_the_part_that_asked_for_the_work() -> None:
    expected = {"decisions": 0.4, "requests": 0.3, "answers of the API server": 0.2, "event loop": 0.1}
    assert shares(STACKS) == expected
    assert list(shares(STACKS)) == list(expected)

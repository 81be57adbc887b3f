"""Budgets end to end: events are billed, keys blocked and gateways told; the cluster hears of it."""

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.eventually import eventually
from tests.integration.ledger_stack import GATEWAY_TOKEN, Stack, ledger_running
from tests.unit.gateway.ledger.builders import KEY, Json, budget, key, priced, usage

OPEN_PATHS = ("/metrics", "/healthz", "/readyz")
"""Those that take no token, and have a port of their own."""


def now(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def events(count: int, **fields: object) -> list[Json]:
    return [usage(now(), prompt_tokens=8, cached_tokens=0, completion_tokens=2, **fields) for _ in range(count)]


async def test_a_spent_budget_blocks_its_keys_at_once_and_is_said_in_the_cluster(tmp_path: Path) -> None:
    objects = {"apikeys": [key(1, "monthly"), key(2, "monthly"), key(3)], "budgets": [budget(tokens=100)]}
    objects |= {"llmservices": [priced()]}
    async with ledger_running(tmp_path, objects) as stack:
        cluster = stack.cluster
        await eventually(lambda: len(cluster.statuses) == 1, 20)
        await stack.bill(events(7))
        before = await stack.sync()
        assert before["blocks"] == {}
        waiting = asyncio.create_task(stack.sync(version=before["version"], wait=20))
        await stack.bill(events(3, key_id=f"{2:016x}"))
        told = await waiting
        assert told["version"] > before["version"]
        assert {name: block["budget"] for name, block in told["blocks"].items()} == {
            KEY: "monthly",
            f"{2:016x}": "monthly",
        }
        assert all(block["until"] > time.time() * 1000 for block in told["blocks"].values())
        await eventually(
            lambda: [each["reason"] for each in cluster.events] == ["BudgetNearlySpent", "BudgetSpent"], 20
        )
        raised = budget(tokens=1000)
        raised["metadata"]["generation"] = 2
        cluster.put("budgets", raised)
        assert (await stack.sync(version=told["version"], wait=20))["blocks"] == {}


async def test_a_budget_is_spent_by_cost_and_late_events_of_deleted_keys(tmp_path: Path) -> None:
    objects = {"apikeys": [key(1, "monthly")], "budgets": [budget(cost="0.0002")], "llmservices": [priced()]}
    async with ledger_running(tmp_path, objects) as stack:
        stack.cluster.delete("apikeys", objects["apikeys"][0])
        stack.cluster.put("apikeys", key(2, "monthly"))
        await eventually(lambda: known(stack, "key-2"), 20)
        await stack.bill(events(10, key_id=f"{2:016x}"))
        await stack.bill(events(10))
        assert set((await stack.sync())["blocks"]) == {f"{2:016x}"}


async def known(stack: Stack, *names: str) -> bool:
    found = json.loads((await stack.get("/v1/organization/projects/team-a/api_keys"))[1])
    return [each["name"] for each in found["data"]] == list(names)


async def blocked(stack: Stack, count: int) -> bool:
    return len((await stack.sync())["blocks"]) == count


async def test_what_was_spent_outlives_the_ledger(tmp_path: Path) -> None:
    objects = {"apikeys": [key(1, "daily")], "budgets": [budget("daily", window="Once", tokens=100)]}
    objects |= {"llmservices": [priced()]}
    async with ledger_running(tmp_path, objects) as stack:
        await stack.bill(events(10))
        version = (await stack.sync())["version"]
        await stack.ledger.kill()
        stack.cluster.objects["apikeys"] = []
        await stack.ledger.start()
        stack.cluster.put("apikeys", key(1, "daily"))
        await eventually(lambda: blocked(stack, 1), 20)
        told = await stack.sync()
        assert told["blocks"][KEY] == {"until": 2**53, "budget": "daily"}
        assert told["version"] != version
        assert told["keys"][KEY]["tokens"] == 100


async def test_gateways_hear_of_each_others_requests_and_of_all_tokens(tmp_path: Path) -> None:
    async with ledger_running(tmp_path, {"apikeys": [key(1)], "llmservices": [priced()]}) as stack:
        minute = int(time.time() // 60)
        for gateway, count in (("a", 5), ("b", 7), ("b", 9)):
            await stack.sync(gateway=gateway, requests={KEY: {"minute": minute, "count": count}})
        await stack.bill([usage(datetime.fromtimestamp(minute * 60, UTC).isoformat())])
        found = {gateway: (await stack.sync(gateway=gateway))["keys"][KEY] for gateway in "abc"}
        assert {name: each["requests"] for name, each in found.items()} == {"a": 9, "b": 5, "c": 14}
        assert {each["tokens"] for each in found.values()} == {110}


async def test_tokens_and_spending_of_another_namespaces_key_are_nobodys(tmp_path: Path) -> None:
    objects = {"apikeys": [key(1, "monthly")], "budgets": [budget(tokens=10)]}
    objects |= {"llmservices": [priced(namespace="team-b")]}
    async with ledger_running(tmp_path, objects) as stack:
        await stack.bill(events(10, namespace="team-b"), "team-b")
        told = await stack.sync()
        assert (told["keys"], told["blocks"]) == ({}, {})


async def test_who_may_not_is_told_so(tmp_path: Path) -> None:
    async with ledger_running(tmp_path) as stack:
        worker = stack.cluster.worker_token("team-b")
        good = {"events": [usage(namespace="team-b"), usage()]}
        status, said = await stack.post("/v1/events", good, worker)
        assert (status, said["error"]["param"]) == (403, "events[1].namespace")
        assert (await stack.post("/v1/events", good, "forged"))[0] == 401
        assert (await stack.post("/v1/sync", {"gateway": "a"}, worker))[0] == 403
        for headers in ({}, {"authorization": f"Bearer {worker}", "x-llmservice-admin": "*"}):
            async with stack.session.get(f"{stack.ledger.url}/v1/organization/projects", headers=headers) as answer:
                assert answer.status == (403 if headers else 401)
        headers = {"authorization": f"Bearer {GATEWAY_TOKEN}"}
        async with stack.session.get(f"{stack.ledger.url}/v1/organization/projects", headers=headers) as answer:
            assert answer.status == 403
        reviews = stack.cluster.reviews
        for _ in range(5):
            await stack.sync()
        assert stack.cluster.reviews == reviews
        status, said = await stack.post("/v1/events", {"events": [usage(namespace="team-b")]}, worker)
        assert (status, said) == (200, {"stored": 1, "known": 0})


async def test_an_event_that_comes_before_its_key_is_asked_for_again(tmp_path: Path) -> None:
    async with ledger_running(tmp_path, {"llmservices": [priced()]}) as stack:
        post = {"events": events(1)}
        status, said = await stack.post("/v1/events", post, stack.cluster.worker_token("team-a"))
        assert (status, said["error"]["code"]) == (503, "not_known_yet")
        stack.cluster.put("apikeys", key(1))
        await eventually(lambda: known(stack, "key-1"), 20)
        assert await stack.bill(post["events"]) == {"stored": 1, "known": 0}


async def test_a_sender_hears_which_event_costs_more_than_any_can(tmp_path: Path) -> None:
    async with ledger_running(tmp_path, {"apikeys": [key(1)], "llmservices": [priced("999999")]}) as stack:
        dear = usage(prompt_tokens=10**8)
        token = stack.cluster.worker_token("team-a")
        status, said = await stack.post("/v1/events", {"events": [usage(), dear]}, token)
        assert (status, said["error"]["code"], said["error"]["param"]) == (400, "invalid_event", "events[1]")
        assert await stack.bill([usage()]) == {"stored": 1, "known": 0}


async def test_figures_say_what_became_of_events(tmp_path: Path) -> None:
    async with ledger_running(tmp_path, {"apikeys": [key(1)], "llmservices": [priced()]}) as stack:
        event = usage()
        await stack.bill([event, event])
        await stack.bill([event])
        await stack.post("/v1/events", {"events": [usage(id="x")]}, stack.cluster.worker_token("team-a"))
        assert {path: (await stack.get(path))[0] for path in OPEN_PATHS} == dict.fromkeys(OPEN_PATHS, 404)
        _, figures = await stack.health("/metrics")
        for line in (
            'llmservice_ledger_events_total{result="stored"} 1.0',
            'llmservice_ledger_events_total{result="known"} 2.0',
            'llmservice_ledger_events_total{result="refused"} 1.0',
            'llmservice_ledger_tokens_total{kind="cached",namespace="team-a",service="llama"} 40.0',
            "llmservice_ledger_commit_seconds_count 2.0",
        ):
            assert line in figures

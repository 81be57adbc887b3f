"""Reports on OpenAI's own paths, under /v1/organization/: usage, costs, projects, keys. Read-only.

An Admin's request comes through the gateway, which says what the Admin may see.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from aiohttp import web

from llmservice_api.names import KEY_PREFIX
from llmservice_gateway.ledger.access import Access
from llmservice_gateway.ledger.answers import as_json, bad_request, not_found
from llmservice_gateway.ledger.bulkhead import Bulkhead
from llmservice_gateway.ledger.export import export
from llmservice_gateway.ledger.query import Asked, Query, by_name, choice, one, usage_query, whole
from llmservice_gateway.ledger.records import Key
from llmservice_gateway.ledger.reports import Project, Reports
from llmservice_gateway.ledger.results import COSTS, LINE_ITEM, REPORTS, Report, cost_results, page, usage_results

Json = dict[str, Any]
Answers = Callable[[web.Request, str | None], Awaitable[web.StreamResponse]]
_ROOT: Final = "/v1/organization"
_PAGE: Final = 20
_PAGE_MOST: Final = 100


class Organization:
    """Answers to who sees the namespace `scope`, None: all. `clock` gives ms since 1970, costs are in `currency`."""

    def __init__(self, reports: Reports, bulkhead: Bulkhead, clock: Callable[[], int], currency: str) -> None:
        self._reports = reports
        self._bulkhead = bulkhead
        self._clock = clock
        self._currency = currency

    def usage(self, report: Report) -> Answers:
        """The handler of a report of usage."""

        async def handler(request: web.Request, scope: str | None) -> web.Response:
            asked = usage_query(_query(request), report.kind, self._clock() // 1000)
            if report.routes is None or nobody(asked):
                return as_json(page(asked, {}))
            found = await self._bulkhead.run(self._reports.usage, asked, scope, report.routes)
            return as_json(page(asked, {at: usage_results(report, sums) for at, sums in found.items()}))

        return handler

    async def costs(self, request: web.Request, scope: str | None) -> web.Response:
        """What was spent."""
        asked = usage_query(_query(request), COSTS, self._clock() // 1000)
        if nobody(asked):
            return as_json(page(asked, {}))
        found = await self._bulkhead.run(self._reports.usage, by_line_item(asked), scope)
        return as_json(page(asked, {at: cost_results(asked, sums, self._currency) for at, sums in found.items()}))

    async def projects(self, request: web.Request, scope: str | None) -> web.Response:
        """Namespaces."""
        query = _query(request)
        archived = choice(query, "include_archived", ("true", "false"), "false") == "true"
        found = await self._bulkhead.run(self._reports.projects, scope)
        return as_json(_list([_project(each) for each in found if archived or each.active], query))

    async def project(self, request: web.Request, scope: str | None) -> web.Response:
        """One namespace."""
        return as_json(_project(await self._visible(request, scope)))

    async def project_keys(self, request: web.Request, scope: str | None) -> web.Response:
        """A namespace's keys."""
        project = await self._visible(request, scope)
        found = await self._bulkhead.run(self._reports.keys, None, project.id)
        return as_json(_list([_project_key(key, last) for key, last in found], _query(request)))

    async def project_key(self, request: web.Request, scope: str | None) -> web.Response:
        """One of them."""
        project = await self._visible(request, scope)
        found = await self._bulkhead.run(self._reports.keys, None, project.id)
        return as_json(_one([_project_key(key, last) for key, last in found], request.match_info["key"]))

    async def admin_keys(self, request: web.Request, scope: str | None) -> web.Response:
        """Keys that open these reports."""
        query = _query(request)
        found = await self._admin_keys(scope)
        newest_first = choice(query, "order", ("asc", "desc"), "asc") == "desc"
        return as_json(_list(found[::-1] if newest_first else found, query))

    async def admin_key(self, request: web.Request, scope: str | None) -> web.Response:
        """One of them."""
        return as_json(_one(await self._admin_keys(scope), request.match_info["key"]))

    async def export(self, request: web.Request, scope: str | None) -> web.StreamResponse:
        """Events, as a file."""
        return await export(request, _query(request), self._reports, self._bulkhead, scope, self._currency)

    async def _admin_keys(self, scope: str | None) -> list[Json]:
        found = await self._bulkhead.run(self._reports.keys, scope, None, admin=True)
        return [_admin_key(key, last) for key, last in found]

    async def _visible(self, request: web.Request, scope: str | None) -> Project:
        wanted = request.match_info["project"]
        for each in await self._bulkhead.run(self._reports.projects, scope):
            if each.id == wanted:
                return each
        raise not_found("project")


def add_organization(
    app: web.Application,
    reports: Reports,
    access: Access,
    bulkhead: Bulkhead,
    clock: Callable[[], int],
    currency: str,
) -> None:
    """Adds the routes."""
    organization = Organization(reports, bulkhead, clock, currency)

    def add(path: str, answers: Answers) -> None:
        async def handler(request: web.Request) -> web.StreamResponse:
            scope = await access.scope(request)
            with bulkhead.place(scope):
                return await answers(request, scope)

        app.router.add_get(f"{_ROOT}/{path}", handler)

    for report in REPORTS:
        add(f"usage/{report.name}", organization.usage(report))
    add("usage/export", organization.export)
    add("costs", organization.costs)
    add("projects", organization.projects)
    add("projects/{project}", organization.project)
    add("projects/{project}/api_keys", organization.project_keys)
    add("projects/{project}/api_keys/{key}", organization.project_key)
    add("admin_api_keys", organization.admin_keys)
    add("admin_api_keys/{key}", organization.admin_key)


def nobody(asked: Asked) -> bool:
    """Whether the filters leave nothing: there are no users and no batches here."""
    return "user_ids" in asked.filters or "true" in asked.filters.get("batch", ())


def by_line_item(asked: Asked) -> Asked:
    """The question to the database: line items are made of models."""
    if LINE_ITEM not in asked.groups and "line_items" not in asked.filters:
        return asked
    return replace(asked, groups=(*asked.groups, "model"))


def _query(request: web.Request) -> Query:
    return by_name(list(request.query.items()))


def _list(found: Sequence[Json], query: Query) -> Json:
    limit = whole(query, "limit", _PAGE, 1, _PAGE_MOST) or _PAGE
    after = one(query, "after")
    if after is not None:
        places = [place for place, each in enumerate(found) if each["id"] == after]
        if not places:
            raise bad_request("after must be the id of the last object of the page before.", "after")
        found = found[places[0] + 1 :]
    data = list(found[:limit])
    ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
    return {"object": "list", "data": data, **ends, "has_more": len(found) > limit}


def _one(found: Sequence[Json], wanted: str) -> Json:
    for each in found:
        if each["id"] == wanted:
            return each
    raise not_found("key")


def _project(project: Project) -> Json:
    return {
        "object": "organization.project",
        "id": project.id,
        "name": project.id,
        "created_at": project.created // 1000,
        "archived_at": None,
        "status": "active" if project.active else "archived",
    }


def _key(key: Key, last: int | None) -> Json:
    return {
        "id": key.id,
        "name": key.name,
        "redacted_value": f"{KEY_PREFIX}_{key.id}.…",
        "created_at": key.created // 1000,
        "expires_at": key.expires // 1000 if key.expires is not None else None,
        "last_used_at": last * 60 if last is not None else None,
    }


def _project_key(key: Key, last: int | None) -> Json:
    account = {
        "id": f"{key.namespace}/{key.name}",
        "name": key.name,
        "created_at": key.created // 1000,
        "role": "member",
    }
    owner = {"type": "service_account", "service_account": account}
    return {
        "object": "organization.project.api_key",
        **_key(key, last),
        "owner_project_access": "active",
        "owner": owner,
    }


def _admin_key(key: Key, last: int | None) -> Json:
    name = f"{key.namespace}/{key.name}"
    owner = {"type": "service_account", "object": "organization.user", "id": name, "name": name, "role": "owner"}
    return {"object": "organization.admin_api_key", **_key(key, last), "owner": owner}

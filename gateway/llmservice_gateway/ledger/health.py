"""The ledger's health and figures, on a port that every scraper may reach."""

from aiohttp import web

from llmservice_gateway.ledger.answers import failures, unready
from llmservice_gateway.ledger.ledger import Ledger
from llmservice_gateway.ledger.metrics import Metrics


def health_app(ledger: Ledger, metrics: Metrics) -> web.Application:
    """`/healthz`, `/readyz` (503 before it knows the cluster, and while the database is away) and `/metrics`."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        if not ledger.ready:
            raise unready()
        await ledger.check()
        return web.Response(text="ok\n")

    async def figures(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"content-type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application(middlewares=[failures(metrics)])
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", figures)
    return app

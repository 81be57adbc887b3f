"""Fetching against a real local server; the resolver is the one narrow place where a test says what a name means."""

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from llmservice_worker.errors import Refused
from llmservice_worker.media import MOST, CheckedResolver, Media, is_global
from tests.unit.worker.asgi_apps import error_of
from tests.unit.worker.pictures import data_url, png

PNG = png(8, 8)
DATA = data_url(8, 8)


@dataclass
class Names(AbstractResolver):
    """Says addresses of names, one list after another as it is asked; the port is the test server's."""

    answers: list[list[str]]
    port: int = 0
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [
            ResolveResult(hostname=host, host=address, port=self.port or port, family=family, proto=0, flags=0)
            for address in found
        ]

    async def close(self) -> None:
        """Nothing to close."""


@dataclass
class Server:
    """A host of images; `asked` are the paths that it was asked for."""

    port: int = 0
    asked: list[str] = field(default_factory=list)
    waiting: int = 0
    four: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        if request.path == "/moved":
            return web.Response(status=302, headers={"location": "http://169.254.169.254/latest"})
        if request.path == "/page":
            return web.Response(text="<html>", content_type="text/html")
        if request.path == "/most":
            return web.Response(body=PNG.ljust(4096), content_type="image/png")
        if request.path == "/slow":
            self.waiting += 1
            if self.waiting == 4:
                self.four.set()
            await self.go_on.wait()
        if request.path == "/text":
            return web.Response(body=b"no image", content_type="image/png")
        if request.path == "/large":
            return web.Response(body=b"x" * 5000, content_type="image/png")
        return web.Response(body=PNG, content_type="image/png")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    found = Server()
    app = web.Application()
    app.router.add_get("/{path:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


def media(names: Names, everywhere: bool = False) -> Media:
    reachable = (lambda _: True) if everywhere else is_global
    return Media(
        ["images.example.com", "127.0.0.1", "1.1.1.1"], lambda: CheckedResolver(names, reachable), 2.0, 4096, 10_000
    )


async def inlined(given: Media, url: str) -> str:
    place = {"url": url}
    await given.inlined([(place, "url")])
    return place["url"]


async def refusal(given: Media, url: str) -> str:
    with pytest.raises(Refused) as refused:
        await inlined(given, url)
    assert refused.value.status == 400
    message: str = error_of(refused.value.body)["message"]
    return message


@pytest.mark.parametrize(
    "url", [DATA, "data:audio/wav;base64,AAAA", DATA.replace("image/png", "image/jpeg"), "data:audio/x.y;base64,"]
)
async def test_sound_data_passes_as_it_is(url: str) -> None:
    assert await inlined(media(Names([[]])), url) == url


async def test_an_image_of_an_allowed_host_is_fetched_and_inlined(server: Server) -> None:
    names = Names([["127.0.0.1"]], server.port)
    assert await inlined(media(names, everywhere=True), "http://images.example.com/a.png") == DATA
    assert (names.asked, server.asked) == (["images.example.com"], ["/a.png"])


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://images.example.com/a", "gopher://images.example.com", "//images.example.com/a",
        "/etc/passwd", "", "http://images.example.com:22/a", "http://images.example.com:99999/a",
        "http://user@images.example.com/a", "http://u:p@images.example.com/a", "http://[::1/a", "http://",
        "http://evil.example.com/a", "http://images.example.com.evil.com/a", "http://evil.com#images.example.com",
        "http://evil.com\\@images.example.com/a", "http://localhost/a", "http://2130706433/a", "http://0x7f.1/a",
        "http://127.0.0.1/a", "http://[::1]/a", "http://169.254.169.254/latest/meta-data",
        "data:text/html;base64,AAAA", "data:image/png,AAAA", "data:image/png;base64,A A", "DATA:image/png;base64,AA==",
        "data:image/png;base64,http://x", "data:image/png;base64," + "A" * 8000,
    ],
)  # fmt: skip
async def test_other_urls_are_refused_before_a_name_is_asked(url: str) -> None:
    names = Names([["127.0.0.1"]])
    assert await refusal(media(names), url)
    assert names.asked == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], ["10.0.0.7"], ["169.254.169.254"], ["::1"], ["::ffff:10.0.0.1"], ["fd00::1"], ["100.64.0.1"],
        ["0.0.0.0"], ["224.0.0.1"], ["1.1.1.1", "192.168.0.1"],
    ],
)  # fmt: skip
async def test_a_name_that_means_an_inner_address_is_not_connected_to(server: Server, addresses: list[str]) -> None:
    message = await refusal(media(Names([addresses], server.port)), "http://images.example.com/a.png")
    assert message == "The image or audio could not be fetched from 'images.example.com'."
    assert server.asked == []


async def test_a_name_that_changes_its_address_is_asked_once(server: Server) -> None:
    names = Names([["127.0.0.1"], ["10.0.0.1"]], server.port)
    await inlined(media(names, everywhere=True), "http://images.example.com/a.png")
    assert len(names.asked) == 1


@pytest.mark.parametrize(
    ("path", "said"), [("/moved", "status 302"), ("/page", "no image or audio"), ("/large", "at most 4 KiB")]
)
async def test_what_a_host_gives_is_judged(server: Server, path: str, said: str) -> None:
    names = Names([["127.0.0.1"]], server.port)
    assert said in await refusal(media(names, everywhere=True), f"http://images.example.com{path}")
    assert server.asked == [path]


async def test_a_host_that_is_not_there_is_said() -> None:
    names = Names([["127.0.0.1"]], port=1)
    assert "could not be fetched" in await refusal(media(names, everywhere=True), "http://images.example.com/a")


async def test_there_are_only_so_many_in_a_request() -> None:
    with pytest.raises(Refused):
        await media(Names([[]])).inlined([({"url": DATA}, "url")] * (MOST + 1))


NEARLY_4_KIB = "data:image/png;base64," + base64.b64encode(PNG.ljust(4092)).decode()
FETCHED = "http://images.example.com/most"


@pytest.mark.parametrize("urls", [[NEARLY_4_KIB] * 3, [FETCHED] * 3, [NEARLY_4_KIB, FETCHED, FETCHED]])
async def test_those_of_a_request_have_one_budget(server: Server, urls: list[str]) -> None:
    given = media(Names([["127.0.0.1"]], server.port), everywhere=True)
    await given.inlined([({"url": url}, "url") for url in urls[:2]])
    with pytest.raises(Refused) as refused:
        await given.inlined([({"url": url}, "url") for url in urls])
    assert "at most 9 KiB together" in error_of(refused.value.body)["message"]


async def test_an_image_is_one(server: Server) -> None:
    names = Names([["127.0.0.1"]], server.port)
    for url in ("data:image/svg+xml;base64,PHN2Zy8+", "data:image/png;base64,", "http://images.example.com/text"):
        assert "cannot be read" in await refusal(media(names, everywhere=True), url)
    assert "not whole" in await refusal(media(names), "data:image/png;base64,AAAAA")


async def test_the_images_of_a_request_have_one_budget_of_pixels() -> None:
    places = [({"url": data_url(8192, 4096)}, "url") for _ in range(3)]
    given = Media([])
    await given.inlined(places[:2])
    with pytest.raises(Refused) as refused:
        await given.inlined(places)
    assert "at most 64 megapixels together" in error_of(refused.value.body)["message"]


async def test_a_replica_fetches_for_a_few_requests_at_once(server: Server) -> None:
    given = media(Names([["127.0.0.1"]], server.port), everywhere=True)
    requests = [asyncio.ensure_future(inlined(given, "http://images.example.com/slow")) for _ in range(12)]
    await asyncio.wait_for(server.four.wait(), 5)
    seen = server.waiting
    server.go_on.set()
    assert await asyncio.gather(*requests) == [DATA] * 12
    assert seen == 4

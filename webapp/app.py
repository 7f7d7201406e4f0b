"""The web application: every page of `PAGES` in one Gradio app, mounted in FastAPI behind the guards."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import import_module
from pathlib import Path

import gradio as gr
from fastapi import FastAPI, Form, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from fastapi.staticfiles import StaticFiles
from gradio.routes import App
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipeline.errors import HoneError
from store import fleet, jobs, users, waiting
from store.database import reading, writing
from store.schema import JobState
from store.settings import Settings
from webapp import theme
from webapp.arena import voting
from webapp.data import browsing, exports, uploads
from webapp.guards import Guards, Password, add_login
from webapp.people import person_of_cookies
from webapp.playground import routes as playground_routes
from webapp.playground import sheets as playground_sheets
from webapp.shared import Shared
from webapp.shell import BarStatus, Page, bar, bar_status, document_head, own_styles

SECONDS_BETWEEN_LOOKS = 0.02
PAGES: tuple[str, ...] = (
    "overview", "data", "make", "dataset", "trained", "quality", "review", "versions", "train", "jobs", "job",
    "workers", "models", "model", "playground", "arena", "battles", "board", "prompts", "settings",
)  # fmt: skip
"""The page modules of `webapp/pages`, in the order of the navigation. The first is the front page."""


def create_app(settings: Settings) -> FastAPI:
    """Everything that a browser can reach."""
    pages = [load_page(name) for name in PAGES]
    app = FastAPI(title="Hone", docs_url=None, redoc_url=None)
    _add_bar_routes(app)
    password = Password.of(settings.password) if settings.password else None
    if password is not None:
        add_login(app, password)
    for router in (
        uploads.router,
        browsing.router,
        exports.router,
        playground_sheets.router,
        playground_routes.router,
        voting.router,
    ):
        app.include_router(router)
    app.mount("/ui", StaticFiles(directory=Path(__file__).parent / "static"))
    mount_pages(app, pages)
    app.add_middleware(PageFrame, pages=pages)
    app.add_middleware(Guards, settings=settings, password=password)
    return app


def load_page(name: str) -> Page:
    page: Page = import_module(f"webapp.pages.{name}").PAGE
    return page


def mount_pages(app: FastAPI, pages: Sequence[Page]) -> None:
    """Draw every page with Gradio and put it at its address."""
    front, *others = pages
    with _without_servers():
        with gr.Blocks(title="Hone", analytics_enabled=False, fill_width=True) as blocks:
            _draw(front)
        for page in others:
            with blocks.route(page.title, page.path):
                _draw(page)
    _keep_signatures(blocks)
    blocks.queue(default_concurrency_limit=16)
    # Gradio looks for work a thousand times a second, which keeps an idle machine busy.
    blocks._queue.sleep_when_free = SECONDS_BETWEEN_LOOKS
    # Gradio lets file-valued inputs name any file of the server until it believes to be launched.
    blocks.has_launched = True
    with warnings.catch_warnings():
        # Gradio warns that it renders many pages in the browser, which is what is asked for.
        warnings.filterwarnings("ignore", message="SSR mode is not supported")
        gr.mount_gradio_app(
            app,
            blocks,
            path="/",
            theme=theme.theme(),
            footer_links=[],
            run_history=False,
            allowed_paths=[],
            ssr_mode=False,
            max_file_size="1mb",
        )


@contextmanager
def _without_servers() -> Iterator[None]:
    """Gradio makes a whole server whenever a page is drawn, to throw it away for the next: here, none before the last.

    With twenty pages that is a quarter of the time that a start takes.
    """
    make = App.create_app
    App.create_app = staticmethod(lambda *_, **__: None)  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        App.create_app = make  # type: ignore[method-assign]


def _draw(page: Page) -> None:
    gr.Navbar(visible=False)
    page.build()


def _keep_signatures(blocks: gr.Blocks) -> None:
    """Let Python work out only once how each kind of component is made (PEP 362).

    Gradio asks for it for every component of every page whenever somebody opens one, which was two fifths of that time.
    """
    for kind in {type(block) for block in blocks.blocks.values()}:
        kind.__init__.__signature__ = inspect.signature(kind.__init__)  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------------ the frame


class PageFrame:
    """Puts our head and our bar into the HTML of each page, so that they stand before Gradio has loaded."""

    def __init__(self, app: ASGIApp, pages: Sequence[Page]) -> None:
        self.app = app
        self.pages = pages
        self.by_path = {page.path: page for page in pages}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = self.by_path.get(scope.get("path", ""))
        if scope["type"] != "http" or scope["method"] != "GET" or page is None:
            await self.app(scope, receive, send)
            return
        start: Message = {}
        body = bytearray()

        async def collect(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
                return
            if message["type"] != "http.response.body":
                await send(message)
                return
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            framed = bytes(body)
            headers = MutableHeaders(scope=start)
            if headers.get("content-type", "").startswith("text/html"):
                navigation = await run_in_threadpool(self._bar, page, Request(scope))
                framed = frame(framed.decode(), page, navigation).encode()
                headers["content-length"] = str(len(framed))
                headers["cache-control"] = "no-store"
            await send(start)
            await send({"type": "http.response.body", "body": framed})

        await self.app(scope, receive, collect)

    def _bar(self, page: Page, request: Request) -> str:
        try:
            name = person_of_cookies(request.cookies).name
        except HoneError:
            name = "Guest"
        return bar(self.pages, page, read_status(), name)


_FOREIGN_HEAD = re.compile(r'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>|<link rel="manifest"[^>]*>', re.DOTALL)


def frame(document: str, page: Page, navigation: str) -> str:
    """Gradio's document with our head, our bar above its content, and without its advertisements of itself."""
    ours = _FOREIGN_HEAD.sub("", document)
    ours = ours.replace("</head>", f"{document_head(page.title, assets=page.assets)}</head>", 1)
    ours = ours.replace('control_page_title="true"', 'control_page_title="false"', 1)
    return ours.replace("<gradio-app", f"{own_styles(page.assets)}{navigation}<gradio-app", 1)


def read_status() -> BarStatus:
    return _status().get("bar", lambda before: _read_status())


@lru_cache(maxsize=1)
def _status() -> Shared[BarStatus]:
    return Shared()


def _read_status() -> BarStatus:
    with reading() as session:
        workers = fleet.live_workers(session)
        counts = jobs.count_by_state(session)
        is_paused = waiting.queue_state(session).is_paused
    return BarStatus(
        num_workers=len(workers),
        devices=tuple(device["name"] for worker in workers for device in worker.devices),
        num_running=counts[JobState.RUNNING],
        num_queued=counts[JobState.QUEUED],
        is_paused=is_paused,
    )


def _add_bar_routes(app: FastAPI) -> None:
    @app.get("/ui/status", include_in_schema=False)
    def status() -> HTMLResponse:
        return HTMLResponse(bar_status(read_status()))

    @app.post("/ui/name", include_in_schema=False)
    def rename(request: Request, name: str = Form()) -> PlainTextResponse:
        try:
            person = person_of_cookies(request.cookies)
            with writing() as session:
                return PlainTextResponse(users.rename_person(session, person.id, name).name)
        except HoneError as error:
            return PlainTextResponse(str(error), status_code=422)

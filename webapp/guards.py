"""Guards: what every request passes before any page or API sees it.

host      a name that browsers may use for this server (DNS rebinding brings a stranger's name)
origin    a request that changes something comes from our own pages, or from no browser at all
password  where one is set, everything but the login page, voting links and their look asks for it
person    a browser that opens a page gets its long random cookie
headers   no other site may frame us, and nothing is fetched from anywhere else
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
from dataclasses import dataclass, field
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from store.settings import Settings
from store.users import new_token
from webapp.arena import voting
from webapp.people import COOKIE
from webapp.shell import MARK, document_head

SESSION_COOKIE = "hone_session"
ONE_YEAR_SECONDS = 365 * 86_400
WRONG_PASSWORD_DELAY_SECONDS = 1.0

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OPEN_PATHS = ("/login", "/ui/hone.css", "/ui/boot.js", "/ui/mark.svg", *voting.OPEN_FILES)
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_CLOSED_GRADIO_PATHS = (
    "/gradio_api/upload",
    "/gradio_api/proxy=",
    "/gradio_api/deep_link",
    "/gradio_api/run-history",
    "/gradio_api/runs",
    "/monitoring",
)
"""Parts of Gradio that no page uses: its upload keeps whatever it is sent, its proxy fetches addresses."""

_HEADERS = {
    # Gradio compiles its templates in the browser, which is what 'unsafe-eval' is for.
    "content-security-policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self' data:; "
    "connect-src 'self'; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens on `host`."""
    return host in _LOOPBACK or host.startswith("127.")


@dataclass(frozen=True)
class Password:
    """The team's password, as a key that signs the cookie of whoever has given it.

    The cookie is bound to the person's own cookie and dies with the password; nothing is kept on the server.
    """

    plain: str
    key: bytes = field(repr=False)

    @classmethod
    def of(cls, plain: str) -> Password:
        return cls(plain, hashlib.scrypt(plain.encode(), salt=b"hone session", n=2**14, r=8, p=1))

    def is_right(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.plain.encode())

    def session_for(self, person_token: str) -> str:
        return hmac.new(self.key, person_token.encode(), hashlib.sha256).hexdigest()

    def admits(self, cookies: dict[str, str], authorization: str) -> bool:
        """Whether a request carries the signed cookie, or `Authorization: Bearer <password>`."""
        session, token = cookies.get(SESSION_COOKIE, ""), cookies.get(COOKIE, "")
        if token and hmac.compare_digest(session.encode(), self.session_for(token).encode()):
            return True
        scheme, _, given = authorization.partition(" ")
        return scheme.lower() == "bearer" and self.is_right(given.strip())


class Guards:
    """The middleware around the whole application, Gradio's mount included."""

    def __init__(self, app: ASGIApp, settings: Settings, password: Password | None) -> None:
        self.app = app
        self.password = password
        named = [name.strip().lower() for name in settings.allowed_hosts.split(",")]
        self.allowed_hosts = frozenset([*_LOOPBACK, settings.host.lower(), *filter(None, named)])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # The product speaks no WebSocket; the server's own lifespan messages pass.
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        cookies = _cookies_of(headers)
        refusal = self._refusal(scope, headers, cookies)
        if refusal is not None:
            await refusal(scope, receive, _with_headers(send, {}))
            return
        welcome = {}
        if COOKIE not in cookies and _opens_a_page(scope, headers):
            token = new_token()
            MutableHeaders(scope=scope).append("cookie", f"{COOKIE}={token}")
            welcome = {"set-cookie": cookie(COOKIE, token, is_secure=scope["scheme"] == "https")}
        await self.app(scope, receive, _with_headers(send, welcome))

    def _refusal(self, scope: Scope, headers: Headers, cookies: dict[str, str]) -> Response | None:
        host = headers.get("host", "")
        if not self._is_our_host(host):
            return PlainTextResponse(
                f"This server does not answer to the name {host[:200]!r}. If it should, add the name to "
                "HONE_ALLOWED_HOSTS and start Hone again.",
                status_code=421,
            )
        if scope["method"] not in _SAFE_METHODS and not _comes_from_us(headers, host):
            return PlainTextResponse(
                f"A page of another site ({headers.get('origin', 'unknown')[:200]}) tried to change something here, "
                "and was refused. Open Hone itself and try again.",
                status_code=403,
            )
        path: str = scope["path"]
        if path.startswith(_CLOSED_GRADIO_PATHS):
            return JSONResponse({"error": "There is nothing here."}, status_code=404)
        if self.password is None or path in _OPEN_PATHS or path.startswith(voting.OPEN_PREFIX):
            return None
        if self.password.admits(cookies, headers.get("authorization", "")):
            return None
        if _opens_a_page(scope, headers):
            wanted = path + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
            return RedirectResponse(f"/login?next={quote(wanted)}", status_code=303)
        return JSONResponse(
            {"error": "This needs the password.", "advice": "Log in, or send Authorization: Bearer <password>."},
            status_code=401,
            headers={"www-authenticate": "Bearer"},
        )

    def _is_our_host(self, host: str) -> bool:
        name = (urlsplit(f"//{host}").hostname or "").lower()
        return name in self.allowed_hosts or _is_address(name)


def _is_address(name: str) -> bool:
    """A numeric address cannot be rebound: a page that was opened under it came from it."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _comes_from_us(headers: Headers, host: str) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == host
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _opens_a_page(scope: Scope, headers: Headers) -> bool:
    return scope["method"] == "GET" and "text/html" in headers.get("accept", "")


def _cookies_of(headers: Headers) -> dict[str, str]:
    try:
        return {name: morsel.value for name, morsel in SimpleCookie(headers.get("cookie", "")).items()}
    except CookieError:
        return {}


def cookie(name: str, value: str, *, is_secure: bool) -> str:
    """A Set-Cookie value that scripts cannot read and that other sites' requests do not carry."""
    secure = "; Secure" if is_secure else ""
    return f"{name}={value}; Max-Age={ONE_YEAR_SECONDS}; Path=/; HttpOnly; SameSite=Lax{secure}"


def _with_headers(send: Send, more: dict[str, str]) -> Send:
    async def send_guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            for name, value in more.items():
                headers.append(name, value)
        await send(message)

    return send_guarded


# ------------------------------------------------------------------------------------------------------------- login


def add_login(app: FastAPI, password: Password) -> None:
    """The login page, and what its form sends."""

    @app.get("/login", include_in_schema=False)
    def show(next: str = "/") -> HTMLResponse:
        return HTMLResponse(login_page(next))

    @app.post("/login", include_in_schema=False)
    async def log_in(request: Request) -> Response:
        form = await request.form(max_files=0, max_fields=8)
        wanted = str(form.get("next", "/"))
        if not password.is_right(str(form.get("password", ""))):
            await asyncio.sleep(WRONG_PASSWORD_DELAY_SECONDS)
            return HTMLResponse(login_page(wanted, "That is not the password."), status_code=401)
        token = request.cookies.get(COOKIE) or new_token()
        is_secure = request.url.scheme == "https"
        answer = RedirectResponse(_own_path(wanted), status_code=303)
        answer.headers.append("set-cookie", cookie(COOKIE, token, is_secure=is_secure))
        answer.headers.append("set-cookie", cookie(SESSION_COOKIE, password.session_for(token), is_secure=is_secure))
        return answer


def _own_path(wanted: str) -> str:
    """Where to go after the login: a path of this server, never another site."""
    parts = urlsplit(wanted)
    is_ours = not parts.scheme and not parts.netloc and wanted.startswith("/") and "\\" not in wanted
    return wanted if is_ours else "/"


def login_page(wanted: str, fault: str = "") -> str:
    alert = f'<span class="h-fault" role="alert">{escape(fault)}</span>' if fault else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"{document_head('Log in', with_bar=False)}</head><body class='h-login'><main>"
        f'<span class="h-mark">{MARK}Hone</span><form class="h-card" method="post" action="/login">'
        f'<input type="hidden" name="next" value="{escape(wanted)}">'
        '<label class="h-field">Password<input class="h-input" type="password" name="password" autofocus required '
        'autocomplete="current-password"></label>'
        f'{alert}<button class="h-button h-primary">Log in</button>'
        '<span class="h-quiet h-small">Ask whoever runs this server; it is the value of HONE_PASSWORD.</span>'
        "</form></main></body></html>"
    )

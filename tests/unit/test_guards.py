"""The guards let in our own pages and nobody else's."""

from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from store.settings import Settings
from webapp.guards import SESSION_COOKIE, Guards, Password, add_login, is_loopback
from webapp.people import COOKIE

PAGE = {"accept": "text/html"}


def guarded(password: str = "", **settings: Any) -> TestClient:
    app = FastAPI()

    @app.get("/page")
    @app.get("/api/models")
    def read(request: Request) -> dict[str, str]:
        return {"person": request.cookies.get(COOKIE, "")}

    @app.post("/change")
    def change() -> str:
        return "changed"

    made = Password.of(password) if password else None
    if made is not None:
        add_login(app, made)
    app.add_middleware(Guards, settings=Settings(password=password, **settings), password=made)
    return TestClient(app, base_url="http://localhost:7861", follow_redirects=False)


@pytest.fixture
def open_door() -> TestClient:
    return guarded()


@pytest.fixture
def locked() -> TestClient:
    return guarded("quartz-lantern")


@pytest.mark.parametrize("host", ["localhost", "localhost:7861", "127.0.0.1:7861", "[::1]:7861", "192.168.3.7:7861"])
def test_loopback_names_and_plain_addresses_are_ours(open_door: TestClient, host: str) -> None:
    assert open_door.get("/page", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example:7861"])
def test_a_strangers_name_is_refused(open_door: TestClient, host: str) -> None:
    answer = open_door.get("/page", headers={"host": host})
    assert answer.status_code == 421
    assert "HONE_ALLOWED_HOSTS" in answer.text


def test_a_name_in_the_settings_is_ours() -> None:
    client = guarded(allowed_hosts="hone.lab, Other.Lab")
    assert client.get("/page", headers={"host": "other.lab"}).status_code == 200


def test_only_our_own_pages_change_something(open_door: TestClient) -> None:
    def change(**headers: str) -> int:
        return open_door.post("/change", headers=headers).status_code

    assert change(origin="http://localhost:7861") == 200
    assert change(origin="https://evil.example") == 403
    assert change(origin="http://localhost:9999") == 403
    assert change(origin="null") == 403
    assert change(**{"sec-fetch-site": "cross-site"}) == 403
    assert change() == 200  # a command line sends neither header, and carries nobody's cookie


def test_a_browser_gets_one_long_cookie_with_its_first_page(open_door: TestClient) -> None:
    first = open_door.get("/page", headers=PAGE)
    words = first.headers["set-cookie"]
    assert "HttpOnly" in words
    assert "SameSite=Lax" in words
    token = first.cookies[COOKIE]
    assert len(token) >= 43
    assert first.json() == {"person": token}  # the page behind it already knows who looks
    assert "set-cookie" not in open_door.get("/page", headers=PAGE).headers


def test_a_page_fetches_nothing_from_elsewhere_and_stands_in_no_frame(open_door: TestClient) -> None:
    policy = open_door.get("/page").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy


@pytest.mark.parametrize("path", ["/gradio_api/upload", "/gradio_api/proxy=http://10.0.0.1/", "/monitoring/summary"])
def test_the_parts_of_gradio_that_no_page_uses_are_closed(open_door: TestClient, path: str) -> None:
    assert open_door.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/page", "/api/models", "/docs", "/openapi.json", "/gradio_api/info", "/ui/hone.js"])
def test_with_a_password_nothing_is_open(locked: TestClient, path: str) -> None:
    assert locked.get(path).status_code == 401
    opened = locked.get(f"{path}?id=7", headers=PAGE)
    assert opened.status_code == 303
    assert opened.headers["location"] == f"/login?next={path}%3Fid%3D7"


def test_the_right_password_opens_the_page_that_was_wanted(locked: TestClient) -> None:
    answer = locked.post("/login", data={"password": "quartz-lantern", "next": "/page?id=7"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/page?id=7"
    assert locked.get("/page").status_code == 200


def test_a_wrong_password_opens_nothing(locked: TestClient) -> None:
    answer = locked.post("/login", data={"password": "quartz", "next": "/page"})
    assert answer.status_code == 401
    assert "not the password" in answer.text
    assert locked.get("/page").status_code == 401


def test_the_session_is_bound_to_its_person_and_to_the_password(locked: TestClient) -> None:
    locked.post("/login", data={"password": "quartz-lantern"})
    session, person = locked.cookies[SESSION_COOKIE], locked.cookies[COOKIE]
    stolen = {"cookie": f"{SESSION_COOKIE}={session}; {COOKIE}=somebody-else"}
    assert guarded("quartz-lantern").get("/page", headers=stolen).status_code == 401
    old = {"cookie": f"{SESSION_COOKIE}={session}; {COOKIE}={person}"}
    assert guarded("quartz-lantern").get("/page", headers=old).status_code == 200
    assert guarded("another").get("/page", headers=old).status_code == 401


def test_a_program_may_send_the_password_as_a_bearer_key(locked: TestClient) -> None:
    assert locked.get("/api/models", headers={"authorization": "Bearer quartz-lantern"}).status_code == 200
    assert locked.get("/api/models", headers={"authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize(
    "wanted", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_the_login_never_leads_to_another_site(locked: TestClient, wanted: str) -> None:
    answer = locked.post("/login", data={"password": "quartz-lantern", "next": wanted})
    assert answer.headers["location"] == "/"


def test_the_login_page_escapes_what_was_wanted(locked: TestClient) -> None:
    assert "<script>alert" not in locked.get("/login", params={"next": '"><script>alert(1)</script>'}).text


def test_only_loopback_addresses_need_no_password() -> None:
    assert is_loopback("127.0.0.1")
    assert is_loopback("localhost")
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("192.168.1.4")

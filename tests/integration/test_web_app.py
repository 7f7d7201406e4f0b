"""The whole web application, as a browser reaches it: every page, its frame, and no file of the machine."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from store import database
from store.settings import Settings, settings
from webapp.app import PAGES, create_app, load_page
from webapp.people import COOKIE

HTML = {"accept": "text/html"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One application for the module: Gradio takes seconds to draw every page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HONE_HOME", str(tmp_path_factory.mktemp("web") / "home"))
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        settings.cache_clear()
        database.upgrade()
        with TestClient(create_app(settings()), base_url="http://localhost") as client:
            yield client
        database.engine().dispose()
        database.engine_for.cache_clear()
    settings.cache_clear()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_stands_in_the_frame_with_its_place_marked(client: TestClient, name: str) -> None:
    page = load_page(name)
    document = client.get(page.path, headers=HTML).text
    assert f"<title>{page.title} · Hone</title>" in document
    assert f'<a href="{page.under or page.path}" aria-current=page>' in document
    assert "og:image" not in document
    assert 'rel="manifest"' not in document


def test_the_documents_name_no_other_site_to_fetch_from(client: TestClient) -> None:
    head = client.get("/", headers=HTML).text.split("window.gradio_config")[0]
    assert "http://" not in head
    assert "https://" not in head


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/file=/etc/passwd",
        "/gradio_api/file=../../../../etc/passwd",
        "/ui/../app.py",
        "/ui/%2e%2e/app.py",
        "/static/../../../../etc/passwd",
    ],
)
def test_no_file_of_the_machine_is_served(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (403, 404, 405)
    assert "root:" not in answer.text


def test_a_file_named_as_a_value_is_not_copied_into_what_is_served(client: TestClient, tmp_path: Path) -> None:
    """Gradio copies files that a value names into its cache, which it serves to everybody."""
    cache = Path(os.environ["GRADIO_TEMP_DIR"])
    secret = tmp_path / "secret.txt"
    secret.write_text("the-secret-words")
    value = {"path": str(secret), "meta": {"_type": "gradio.FileData"}, "orig_name": "secret.txt"}
    for function in _functions_of_page(client, "jobs"):
        data = [value] * len(function["inputs"])
        client.post("/gradio_api/run/predict", json={"data": data, "fn_index": function["id"]})
    assert list(cache.rglob("secret.txt")) == []


def _functions_of_page(client: TestClient, path: str) -> list[dict[str, Any]]:
    document = client.get(f"/{path}", headers=HTML).text
    start = document.index("window.gradio_config = ") + len("window.gradio_config = ")
    config, _ = json.JSONDecoder().raw_decode(document[start:])
    functions = [function for function in config["dependencies"] if function["inputs"]]
    assert functions
    return functions


def test_no_handler_is_public_api(client: TestClient) -> None:
    info = client.get("/gradio_api/info").json()
    assert info["named_endpoints"] == {}
    assert info["unnamed_endpoints"] == {}


def test_a_name_is_changed_from_the_bar_and_stays(client: TestClient) -> None:
    client.get("/", headers=HTML)
    assert len(client.cookies[COOKIE]) >= 43
    assert client.post("/ui/name", data={"name": "  Ada   L. "}).text == "Ada L."
    assert "Ada L.</button>" in client.get("/jobs", headers=HTML).text
    refused = client.post("/ui/name", data={"name": "x" * 81})
    assert refused.status_code == 422
    assert "1 to 80 characters" in refused.text


def test_a_hostile_name_is_text(client: TestClient) -> None:
    client.get("/", headers=HTML)
    client.post("/ui/name", data={"name": "<img src=x onerror=alert(1)>"})
    assert "<img src=x" not in client.get("/", headers=HTML).text


def test_the_bar_says_that_no_worker_is_there(client: TestClient) -> None:
    assert "No worker" in client.get("/ui/status").text


def test_a_password_locks_every_page_and_the_api() -> None:
    locked = TestClient(create_app(Settings(password="quartz-lantern")), base_url="http://localhost")
    for name in PAGES:
        assert locked.get(load_page(name).path, headers=HTML, follow_redirects=False).status_code == 303
    for path in ("/openapi.json", "/api/datasets", "/config", "/gradio_api/info", "/theme.css"):
        assert locked.get(path).status_code == 401
    assert "quartz" not in json.dumps(locked.get("/login").text)

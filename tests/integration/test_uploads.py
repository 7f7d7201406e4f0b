"""Uploads against a real server: what arrives, what is refused, and what is left on disk."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

SERVER = """
import sys, uvicorn
from fastapi import FastAPI
from store import database
from webapp.data.uploads import router
database.upgrade()
app = FastAPI()
app.include_router(router)
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""


class Server:
    """A web process with nothing in it but the upload routes, on a data folder of its own."""

    def __init__(self, home: Path, **environment: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(self.port)],
            env=os.environ | {"HONE_HOME": str(home), **environment},
            cwd=Path(__file__).parents[2],
        )
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", cookies={"hone_person": "t" * 43}, timeout=60
        )
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        for _ in range(900):
            try:
                self.client.get("/api/datasets")
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError("the server did not start")

    def upload(self, content: Any, name: str) -> httpx.Response:
        return self.client.post("/api/uploads", params={"name": name}, content=content)

    def import_and_wait(self, upload_id: str, **body: Any) -> dict[str, Any]:
        self.client.post(f"/api/uploads/{upload_id}/import", json=body).raise_for_status()
        for _ in range(600):
            status: dict[str, Any] = self.client.get(f"/api/uploads/{upload_id}").json()["import"]
            if status["state"] != "importing":
                return status
            time.sleep(0.05)
        raise AssertionError("the import did not end")

    def uploads_on_disk(self) -> list[Path]:
        folder = self.home / "uploads"
        return list(folder.iterdir()) if folder.exists() else []

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=20)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("uploads") / "home")
    yield running
    running.stop()


def alpaca(num_rows: int, *, tag: str = "") -> bytes:
    return json.dumps(
        [{"instruction": f"Count to {n}{tag}.", "input": "", "output": f"1 to {n}"} for n in range(num_rows)]
    ).encode()


def test_a_file_is_uploaded_imported_kept_and_read_back(server: Server) -> None:
    upload = server.upload(alpaca(50), "counting.json").json()
    status = server.import_and_wait(upload["id"])
    assert (status["state"], status["report"]["num_rows"], status["report"]["format"]) == ("imported", 50, "alpaca")

    kept = server.client.post("/api/datasets", json={"upload_id": upload["id"], "name": "counting"}).json()
    assert (kept["is_new"], kept["name"], kept["version"], kept["num_rows"]) == (True, "counting", 1, 50)
    assert kept["provenance"]["file_sha256"] == upload["sha256"]
    page = server.client.get(f"/api/datasets/{kept['id']}/rows", params={"offset": 48, "limit": 10}).json()
    assert [row["messages"][0]["content"] for row in page["rows"]] == ["Count to 48.", "Count to 49."]
    assert server.client.get(f"/api/uploads/{upload['id']}").status_code == 404


def test_the_same_content_again_is_the_same_version_and_says_so(server: Server) -> None:
    kept = []
    for file_name, name in (("one.json", "first name"), ("two.json", "second name")):
        upload = server.upload(alpaca(7, tag=" twice"), file_name).json()
        server.import_and_wait(upload["id"])
        kept.append(server.client.post("/api/datasets", json={"upload_id": upload["id"], "name": name}).json())
    assert [answer["is_new"] for answer in kept] == [True, False]
    assert kept[1]["id"] == kept[0]["id"]
    assert kept[1]["name"] == "first name"


def test_other_content_under_a_known_name_is_its_next_version(server: Server) -> None:
    versions = []
    for size in (3, 4):
        upload = server.upload(alpaca(size, tag=" more"), "more.json").json()
        server.import_and_wait(upload["id"])
        answer = server.client.post("/api/datasets", json={"upload_id": upload["id"], "name": "more"}).json()
        versions.append((answer["dataset_id"], answer["version"]))
    assert versions == [(versions[0][0], 1), (versions[0][0], 2)]


def test_two_uploads_of_one_file_at_once_stay_apart_and_become_one_version(server: Server) -> None:
    content = alpaca(300, tag=" together")

    def walk(number: int) -> dict[str, Any]:
        upload = server.upload(content, "together.json").json()
        server.import_and_wait(upload["id"])
        answer = server.client.post("/api/datasets", json={"upload_id": upload["id"], "name": f"together {number}"})
        return {"upload": upload["id"]} | answer.json()

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(walk, (1, 2))
    assert first["upload"] != second["upload"]
    assert first["id"] == second["id"]
    assert sorted([first["is_new"], second["is_new"]]) == [False, True]


def test_an_upload_that_breaks_off_leaves_nothing(server: Server) -> None:
    before = server.uploads_on_disk()
    with socket.create_connection(("127.0.0.1", server.port)) as browser:
        browser.sendall(
            b"POST /api/uploads?name=half.json HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90000000\r\n\r\n"
            + b"[" * 9_000_000
        )
        for _ in range(100):
            if len(server.uploads_on_disk()) > len(before):
                break
            time.sleep(0.05)
        assert len(server.uploads_on_disk()) == len(before) + 1
    for _ in range(100):
        if server.uploads_on_disk() == before:
            return
        time.sleep(0.05)
    raise AssertionError(f"left behind: {server.uploads_on_disk()}")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../../etc/passwd.json", "passwd.json"),
        ("..\\..\\windows\\data.json", "data.json"),
        ("a\"b'; filename=x.json", "a\"b'; filename=x.json"),
        ("annual\u202enosj.exe", "annualnosj.exe"),
        ("new\r\nSet-Cookie: a=b.json", "newSet-Cookie: a=b.json"),
        ("n" * 300 + ".json", "n" * 114 + "….json"),
        ("..", "unnamed"),
        ("<img src=x onerror=alert(1)>.json", "<img src=x onerror=alert(1)>.json"),
    ],
)
def test_a_hostile_file_name_is_only_ever_shown(server: Server, name: str, shown: str) -> None:
    before = set(server.uploads_on_disk())
    upload = server.upload(alpaca(2), name).json()
    assert upload["name"] == shown
    (folder,) = set(server.uploads_on_disk()) - before
    assert sorted(path.name for path in folder.iterdir()) == ["content", "upload.json"]
    assert server.client.delete(f"/api/uploads/{upload['id']}").status_code == 200
    assert not folder.exists()


def test_an_empty_file_is_refused_with_its_name(server: Server) -> None:
    answer = server.upload(b"", "nothing.jsonl")
    assert answer.status_code == 422
    assert answer.json()["error"] == "“nothing.jsonl” is empty: 0 bytes."


def test_an_id_that_is_a_path_reaches_nothing(server: Server) -> None:
    (server.home / "uploads").mkdir(exist_ok=True)
    for bad in ("..%2F..%2Fhone.db", "..", "0" * 31, "Z" * 32):
        assert server.client.get(f"/api/uploads/{bad}/inspection").status_code == 404


def test_rejected_rows_can_be_downloaded_before_and_after_keeping(server: Server) -> None:
    lines = [
        {"prompt": "Why?", "completion": "Because."},
        {"prompt": "Why?", "completion": ""},
        {"prompt": True, "completion": "x"},
        {"prompt": 2, "completion": "x"},
    ]
    upload = server.upload("\n".join(map(json.dumps, lines)).encode(), "why.jsonl").json()
    report = server.import_and_wait(upload["id"])["report"]
    assert (report["num_rows"], report["num_rejected"]) == (2, 2)
    assert report["repairs"] == {"a number became text": 1}
    before = server.client.get(f"/api/uploads/{upload['id']}/rejected")
    kept = server.client.post("/api/datasets", json={"upload_id": upload["id"], "name": "why"}).json()
    after = server.client.get(f"/api/datasets/{kept['id']}/rejected")
    assert before.text == after.text
    rejected = [json.loads(line) for line in after.text.splitlines()]
    assert [(row["row"], row["reason"]) for row in rejected] == [
        (2, "`completion` is empty"),
        (3, "`prompt` is true or false, not text"),
    ]
    account = [json.loads(line) for line in server.client.get(f"/api/datasets/{kept['id']}/report").text.splitlines()]
    assert (account[0]["accepted"], account[0]["repaired"], account[0]["rejected"]) == (1, 1, 2)
    assert [(row["row"], row["outcome"]) for row in account[1:]] == [(2, "rejected"), (3, "rejected"), (4, "repaired")]
    assert kept["num_repaired"] == 1
    assert "attachment" in after.headers["content-disposition"]


def test_columns_that_nobody_knows_are_mapped_by_hand(server: Server) -> None:
    content = "\n".join(json.dumps({"question": f"{n}+1?", "answer": str(n + 1)}) for n in range(20)).encode()
    upload = server.upload(content, "sums.jsonl").json()
    seen = server.client.get(f"/api/uploads/{upload['id']}/inspection").json()
    assert (seen["format"], seen["columns"]) == (None, ["question", "answer"])
    failed = server.import_and_wait(upload["id"])
    assert "`question`, `answer`" in failed["error"]["message"]
    mapping = {"layout": "turns", "columns": {"instruction": "question", "output": "answer"}}
    assert seen["suggestion"] == mapping
    report = server.import_and_wait(upload["id"], mapping=mapping)["report"]
    assert (report["kind"], report["num_rows"], report["format"]) == ("instruction", 20, "mapped columns")


def test_an_import_that_is_not_done_cannot_be_kept(server: Server) -> None:
    upload = server.upload(alpaca(3, tag=" unkept"), "unkept.json").json()
    answer = server.client.post("/api/datasets", json={"upload_id": upload["id"], "name": "unkept"})
    assert (answer.status_code, answer.json()["error"]) == (422, "The import is not done yet.")


def test_a_file_over_the_limit_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    small = Server(tmp_path / "home", HONE_MAX_UPLOAD_GB="0.001")
    try:
        announced = small.upload(b"x" * 2_000_000, "big.txt")
        assert announced.status_code == 422
        assert announced.json()["error"] == "The file has 2\u00a0MB; this server takes at most 1\u00a0MB."
        assert small.uploads_on_disk() == []
    finally:
        small.stop()


def test_the_server_answers_while_a_large_file_is_imported(server: Server) -> None:
    line = json.dumps({"instruction": "Say it", "output": "word " * 200}).encode() + b"\n"
    upload = server.upload((line * 1000 for _ in range(60)), "large.jsonl").json()
    waits: list[float] = []
    is_done = threading.Event()

    def keep_asking() -> None:
        with httpx.Client(base_url=server.client.base_url) as other:
            while not is_done.is_set():
                started = time.monotonic()
                other.get("/api/datasets")
                waits.append(time.monotonic() - started)
                time.sleep(0.02)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    status = server.import_and_wait(upload["id"])
    is_done.set()
    asking.join()
    assert status["report"]["num_rows"] == 60_000
    assert max(waits) < 1.0
    server.client.delete(f"/api/uploads/{upload['id']}")


def test_a_web_process_killed_during_an_import_leaves_an_upload_that_can_be_read_again(tmp_path: Path) -> None:
    first = Server(tmp_path / "home")
    line = json.dumps({"instruction": "Say it", "output": "word " * 100}).encode() + b"\n"
    upload = first.upload((line * 1000 for _ in range(50)), "large.jsonl").json()
    first.client.post(f"/api/uploads/{upload['id']}/import", json={}).raise_for_status()
    children = psutil.Process(first.process.pid).children()
    first.process.kill()
    first.process.wait()
    first.client.close()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive
    second = Server(tmp_path / "home")
    try:
        assert second.client.get("/api/datasets").json() == []
        assert second.client.get(f"/api/uploads/{upload['id']}").json()["import"]["state"] == "waiting"
        assert second.import_and_wait(upload["id"])["report"]["num_rows"] == 50_000
        (folder,) = second.uploads_on_disk()
        assert sorted(path.name for path in folder.iterdir()) == ["content", "import", "upload.json"]
    finally:
        second.stop()

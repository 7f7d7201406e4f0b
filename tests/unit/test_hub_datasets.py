"""Datasets of the hub, from a small server that speaks the parts of its protocol that are used."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COMMIT = "5f" * 20


def parquet(*texts: str) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": list(texts)}), buffer)
    return buffer.getvalue()


FILES = {
    "README.md": b"# Tales",
    "tales.py": b"raise SystemExit('a script of a dataset was run')",
    "data/train-00000-of-00002.parquet": parquet("one", "two"),
    "data/train-00001-of-00002.parquet": parquet("three"),
    "data/test-00000-of-00001.parquet": parquet("four"),
    "songs/train.jsonl": b'{"text": "la"}',
}


class Hub(BaseHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        return

    def do_GET(self) -> None:
        if self.path.startswith(("/api/datasets/team/tales?", "/api/datasets/team/tales/revision/")) or (
            self.path == "/api/datasets/team/tales"
        ):
            siblings = [{"rfilename": name} for name in FILES]
            self.answer(json.dumps({"id": "team/tales", "sha": COMMIT, "siblings": siblings}).encode(), {})
            return
        prefix = f"/datasets/team/tales/resolve/{COMMIT}/"
        name = self.path.removeprefix(prefix)
        if self.path.startswith(prefix) and name in FILES:
            etag = hashlib.sha256(FILES[name]).hexdigest()
            self.answer(FILES[name], {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'})
            return
        self.send_response(404)
        self.send_header("X-Error-Code", "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def answer(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def fetch(endpoint: str, out: Path, *arguments: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.data.hub", *arguments, str(out)],
        env=os.environ | {"HF_ENDPOINT": endpoint, "HF_HOME": str(out.parent / "hf"), "HF_HUB_OFFLINE": "0"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_files_of_a_split_are_fetched_at_one_commit_and_joined(endpoint: str, tmp_path: Path) -> None:
    said = fetch(endpoint, tmp_path / "rows", "team/tales")
    assert said[-1] == {"type": "fetched"}
    assert (said[0]["revision"], said[0]["split"]) == (COMMIT, "train")
    assert said[0]["files"] == ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"]
    assert pq.read_table(tmp_path / "rows").to_pylist() == [{"text": "one"}, {"text": "two"}, {"text": "three"}]
    assert sorted(path.name for path in tmp_path.iterdir()) in (["hf", "rows"], ["rows"])


def test_a_configuration_is_chosen_by_name(endpoint: str, tmp_path: Path) -> None:
    said = fetch(endpoint, tmp_path / "rows", "team/tales", "--config=songs")
    assert said[-1] == {"type": "fetched"}
    assert (tmp_path / "rows").read_bytes() == b'{"text": "la"}'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["team/none"], "has no dataset team/none, or it is private"),
        (["team/tales", "--split=dev"], "team/tales has no split 'dev'"),
        (["../../etc/passwd"], "is not the id of a dataset"),
    ],
)
def test_what_is_not_there_is_refused_by_name(
    endpoint: str, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (failed,) = fetch(endpoint, tmp_path / "rows", *arguments)
    assert message in failed["message"]
    assert not (tmp_path / "rows").exists()


def test_a_hub_that_cannot_be_reached_is_named(tmp_path: Path) -> None:
    (failed,) = fetch("http://127.0.0.1:9", tmp_path / "rows", "team/tales")
    assert failed["message"].startswith("The hub at http://127.0.0.1:9 cannot be reached (")
    assert "upload it" in failed["advice"]

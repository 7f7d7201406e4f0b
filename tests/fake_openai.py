"""A small server that speaks OpenAI's protocol without streaming, for jobs that ask a model elsewhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-very-secret-1234567890"


class FakeOpenAI:
    """Answers what `say` makes of the last message; `statuses` are given out first, one a request, before any answer.

    Args:
        say: The answer to a text, or the answer and its finish reason.
    """

    def __init__(self, say: Callable[[str], str | tuple[str, str]]) -> None:
        self.say = say
        self.statuses: list[int] = []
        self.requests: list[dict[str, Any]] = []
        fake = self
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with lock:
                    fake.requests.append(body)
                    status = fake.statuses.pop(0) if fake.statuses else 200
                if self.headers.get("authorization") != f"Bearer {KEY}":
                    self.reply(401, {"error": {"message": f"Wrong key: {self.headers.get('authorization')}"}})
                elif status != 200:
                    self.reply(status, {"error": {"message": "Not now."}})
                else:
                    said = fake.say(body["messages"][-1]["content"])
                    text, reason = said if isinstance(said, tuple) else (said, "stop")
                    choice = {"message": {"role": "assistant", "content": text}, "finish_reason": reason}
                    self.reply(200, {"choices": [choice], "usage": {"completion_tokens": len(text.split())}})

            def reply(self, status: int, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.send_header("retry-after", "0")
                self.end_headers()
                with suppress(ConnectionError):  # whoever asked has been stopped
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/v1"


@contextmanager
def fake_openai(say: Callable[[str], str | tuple[str, str]]) -> Iterator[FakeOpenAI]:
    fake = FakeOpenAI(say)
    threading.Thread(target=fake.server.serve_forever, daemon=True).start()
    try:
        yield fake
    finally:
        fake.server.shutdown()
        fake.server.server_close()

"""A small server that speaks as Hone's own inference server does, so that tests decide how fast each model writes."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MODELS = [f"model-{number}" for number in range(1, 6)]
SLOW = "model-6-slow"


class ModelServer:
    """Six models: five answer at once with their name and what they were asked, the slow one goes on for minutes."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with suppress(BrokenPipeError, ConnectionResetError):
                    if self.path == "/hone/render":
                        self._say(server.render(body))
                    elif self.path == "/hone/score":
                        self._say(server.score(body))
                    else:
                        server.requests.append(body)
                        self._stream(server.words_of(body), is_endless=body["model"] == SLOW)

            def _say(self, answer: dict[str, Any]) -> None:
                self._head("application/json")
                self.wfile.write(json.dumps(answer).encode())

            def _stream(self, words: list[str], *, is_endless: bool) -> None:
                self._head("text/event-stream")
                for number in range(10_000 if is_endless else len(words)):
                    word = f"slow{number} " if is_endless else words[number]
                    self._event({"choices": [{"delta": {"content": word}, "finish_reason": None}]})
                    time.sleep(0.05 if is_endless else 0)
                self._event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
                self.wfile.write(b"data: [DONE]\n\n")

            def _event(self, body: dict[str, Any]) -> None:
                self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())

            def _head(self, kind: str) -> None:
                self.send_response(200)
                self.send_header("content-type", kind)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @staticmethod
    def words_of(body: dict[str, Any]) -> list[str]:
        if body.get("continue_final_message"):
            return [" and", " carried", " on."]
        said = body["messages"][-1]["content"]
        return [f"{body['model']} ", "answers ", f"“{said[:60]}” ", f"after {len(body['messages'])} messages."]

    @staticmethod
    def render(body: dict[str, Any]) -> dict[str, Any]:
        tokens = [{"id": 1, "text": "<|start|>", "is_special": True}]
        tokens += [{"id": 2, "text": one["content"], "is_special": False} for one in body["messages"]]
        return {"text": "", "has_template": True, "tokens": tokens}

    @staticmethod
    def score(body: dict[str, Any]) -> dict[str, Any]:
        """Each model likes answers that name it."""
        answers = []
        for text in body["answers"]:
            logprob = -0.05 if body["model"] in text else -1.5
            pieces = [*re.findall(r"\S+\s*", text), "<|end|>"]
            others = [{"text": "another ", "logprob": math.log(0.2)}, {"text": "<|end|>", "logprob": math.log(0.1)}]
            tokens = [{"text": piece, "logprob": logprob, "alternatives": others} for piece in pieces]
            answers.append({"logprob": logprob * len(pieces), "num_tokens": len(pieces), "tokens": tokens})
        return {"answers": answers}

"""Templates: chat templates rendered outside this process, with a limit on time, memory and output."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any, Literal

from pipeline.generation.requests import BadTemplate
from pipeline.generation.template_child import SECONDS_LIMIT
from pipeline.training.chat_templates import Conversation, Rendered, refused

Ending = Literal["answer_begins", "answer_goes_on", "nothing"]
"""What a prompt ends with: the beginning of an answer, the part of one that is there already, or the last message."""


class TemplateRenderer:
    """Renders conversations through chat templates in one lasting child process; safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None

    def render(
        self,
        template: str,
        messages: Sequence[dict[str, Any]],
        *,
        tools: Sequence[dict[str, Any]] | None = None,
        variables: dict[str, Any] | None = None,
        ending: Ending = "answer_begins",
    ) -> str:
        """The prompt that `template` makes of `messages`.

        Args:
            variables: What else the template may read, such as the tokenizer's `bos_token`.

        Raises:
            BadTemplate: if the template refuses the conversation, is broken, or runs past its limits.
        """
        return self._rendered(
            template,
            messages,
            tools,
            variables or {},
            add_generation_prompt=ending == "answer_begins",
            continue_final_message=ending == "answer_goes_on",
        ).text

    def render_marked(self, conversation: Conversation) -> Rendered:
        """A conversation as training renders it (`pipeline.training.chat_templates.Render`), with the same limits.

        Raises:
            BadTemplate: if the template refuses the conversation, is broken, or runs past its limits.
        """
        return self._rendered(
            conversation.template,
            conversation.messages,
            conversation.tools,
            conversation.variables,
            add_generation_prompt=conversation.begins_answer,
            marks_answers=conversation.is_marked,
        )

    def _rendered(
        self,
        template: str,
        messages: Sequence[dict[str, Any]],
        tools: Sequence[dict[str, Any]] | None,
        variables: dict[str, Any],
        *,
        add_generation_prompt: bool,
        continue_final_message: bool = False,
        marks_answers: bool = False,
    ) -> Rendered:
        asked = {
            "template": template,
            "messages": list(messages),
            "tools": tools,
            "variables": variables,
            "add_generation_prompt": add_generation_prompt,
            "continue_final_message": continue_final_message,
            "marks_answers": marks_answers,
        }
        with self._lock:
            answer = self._ask(json.dumps(asked))
        if "error" in answer:
            raise refused(answer["error"])
        return Rendered(answer["text"], tuple((start, end) for start, end in answer["said"]))

    def close(self) -> None:
        with self._lock:
            self._end_child()

    def _ask(self, line: str) -> dict[str, Any]:
        child = self._running_child()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(line + "\n")
            child.stdin.flush()
            reply = child.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            self._end_child()
            return {"error": f"it ran for more than {SECONDS_LIMIT:g} seconds, or its process was killed"}
        answer: dict[str, Any] = json.loads(reply)
        return answer

    def _running_child(self) -> subprocess.Popen[str]:
        if self._child is not None and self._child.poll() is None:
            return self._child
        self._end_child()
        command = [sys.executable, "-m", "pipeline.generation.template_child"]
        child = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
        )
        self._child = child
        assert child.stdout is not None
        if not child.stdout.readline():
            raise BadTemplate(
                f"The process that renders chat templates ended with exit code {child.wait()} before it was ready.",
                "Check that `python -m pipeline.generation.template_child` starts on this machine.",
            )
        return child

    def _end_child(self) -> None:
        if self._child is None:
            return
        self._child.kill()
        self._child.communicate()
        self._child = None

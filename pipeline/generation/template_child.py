"""Template child: renders chat templates in a process that may be killed, because a template is a stranger's program.

It reads one JSON object a line from standard input and answers each with one on standard output. A template that runs
past its time is ended by the alarm, and this process with it; the parent sees the closed pipe and starts another.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from typing import Any

SECONDS_LIMIT = 2.0
MEMORY_LIMIT_BYTES = 2 * 1024**3
OUTPUT_LIMIT_CHARACTERS = 8 * 1024**2


def main() -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    if sys.platform == "linux":  # elsewhere the kernel does not hold a process to it
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        signal.setitimer(signal.ITIMER_REAL, SECONDS_LIMIT)
        answer = _answer(render_jinja_template, json.loads(line))
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps(answer), flush=True)


def _answer(render: Any, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        rendered, said = render(
            conversations=[asked["messages"]],
            tools=asked["tools"],
            chat_template=asked["template"],
            add_generation_prompt=asked["add_generation_prompt"],
            continue_final_message=asked["continue_final_message"],
            return_assistant_tokens_mask=asked["marks_answers"],
            **asked["variables"],
        )
    except MemoryError:
        return {"error": f"it needs more than {MEMORY_LIMIT_BYTES // 1024**3} GB of memory"}
    except Exception as error:  # whatever a template raises is the template's fault, and is told to its user
        return {"error": f"{type(error).__name__}: {error}"[:500]}
    if len(rendered[0]) > OUTPUT_LIMIT_CHARACTERS:
        return {"error": f"it wrote {len(rendered[0]):,} characters; at most {OUTPUT_LIMIT_CHARACTERS:,} are taken"}
    return {"text": rendered[0], "said": said[0] if said else []}


if __name__ == "__main__":
    main()

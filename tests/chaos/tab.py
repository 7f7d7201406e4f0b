"""A browser's tab, as the record sees it: for each key on standard input it asks for a job, and prints the job's id.

python -m tests.chaos.tab TEXT_ID
"""

from __future__ import annotations

import sys

from store import jobs
from store.database import writing
from tests.real_jobs import TINY
from workers.queue import wake


def main(text_id: str) -> None:
    print("ready", flush=True)
    for line in sys.stdin:
        with writing() as session:
            values = TINY | {"dataset": f"dataset:{text_id}", "max_steps": 5}
            job_id = jobs.submit(
                session, "pretrain", values, name=f"job-{line.strip()}", idempotency_key=line.strip()
            ).id
        wake()
        print(job_id, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])

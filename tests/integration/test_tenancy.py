"""Tenancy: one GPU, wanted by the playground and by jobs. A real engine on the processor stands on the GPU's slot."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from pipeline.generation.engine import Engine
from pipeline.generation.requests import (
    DeviceBusy,
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    SamplingSettings,
)
from store import attempts, slots
from store.attempts import Claim
from store.database import reading, writing
from store.schema import Slot
from tests.tiny_models import make_base
from tests.unit.test_jobs import add_dataset, submit
from workers.inference.tenancy import Tenancy

pytestmark = pytest.mark.usefixtures("home")

GPU = "GPU-1"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_base(tmp_path_factory.mktemp("models") / "base", seed=1)


@pytest.fixture
def tenancy() -> Tenancy:
    return Tenancy(GPU, idle_seconds=0)


@pytest.fixture
def engine(tenancy: Tenancy) -> Iterator[Engine]:
    engine = Engine(memory_budget_bytes=1 << 30, may_load=tenancy.take)
    yield engine
    engine.close()


def ask(engine: Engine, model: Path) -> Finished | Failed:
    events: queue.Queue[GenerationEvent] = queue.Queue()
    messages = [{"role": "user", "content": "hello"}]
    engine.submit(GenerationRequest(str(model), messages, SamplingSettings(max_tokens=2)), events.put)
    while True:
        event = events.get(timeout=60)
        if isinstance(event, Finished | Failed):
            return event


def claim_gpu() -> Claim | None:
    with writing() as session:
        slots.offer(session, [GPU])
        return attempts.claim(session, worker_id="w", worker_name="worker", free={GPU: "GPU"}, most_slots=1)


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_model_is_loaded_onto_a_gpu_that_a_job_holds(engine: Engine, model: Path) -> None:
    submit(add_dataset("prose", "text"), name="long-job")
    claimed = claim_gpu()
    assert claimed is not None
    refused = ask(engine, model)
    assert isinstance(refused, Failed)
    assert isinstance(refused.error, DeviceBusy)
    assert "long-job" in refused.error.message
    assert not engine.holds_weights
    with writing() as session:
        attempts.release(session, claimed.job_id, claimed.epoch)
    assert isinstance(ask(engine, model), Finished)


def test_a_job_waits_for_the_gpu_until_nobody_chats_and_then_gets_it(
    engine: Engine, tenancy: Tenancy, model: Path
) -> None:
    assert isinstance(ask(engine, model), Finished)
    tenancy.renew(engine)
    assert engine.holds_weights, "no job waits: the model stays"
    submit(add_dataset("prose", "text"))
    assert claim_gpu() is None
    tenancy.renew(engine)
    wait_until(lambda: not engine.holds_weights)
    tenancy.renew(engine)
    assert claim_gpu() is not None


def test_weights_leave_a_gpu_whose_lease_was_lost(engine: Engine, tenancy: Tenancy, model: Path) -> None:
    assert isinstance(ask(engine, model), Finished)
    with writing() as session:
        session.execute(update(Slot).values(lease_expires_at=0.0))
    submit(add_dataset("prose", "text"))
    assert claim_gpu() is not None
    tenancy.renew(engine)
    wait_until(lambda: not engine.holds_weights)
    with reading() as session:
        job, holder = slots.holders(session)[GPU]
        assert job is not None
        assert holder is None

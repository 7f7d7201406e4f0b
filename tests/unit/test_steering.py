"""Steering: the order that people give the queue, jobs that wait for others, and what holds a device."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from pipeline.errors import BadSpec
from pipeline.model_folder import ModelManifest
from pipeline.spec import SpecFaults
from store import attempts, fleet, jobs, models, slots, steering, waiting
from store.attempts import Claim
from store.database import reading, writing
from store.schema import Job, JobState, Slot
from tests.unit.test_jobs import add_dataset, claim, let_lease_run_out, must_claim, state_of, submit, sweep

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def text_id() -> int:
    return add_dataset("prose", "text")


@pytest.fixture
def chat_id() -> int:
    return add_dataset("chat", "instruction")


def order() -> list[int]:
    with reading() as session:
        return waiting.waiting_ids(session)


def move(job_id: int, where: str) -> None:
    with writing() as session:
        steering.move(session, job_id, where)  # type: ignore[arg-type]


def move_to(job_id: int, place: int) -> None:
    with writing() as session:
        steering.move_to(session, job_id, place)


def prioritise(job_id: int, priority: int) -> None:
    with writing() as session:
        steering.set_priority(session, job_id, priority)


def finish_with_model(claimed: Claim) -> int:
    manifest = ModelManifest(kind="full", recipe="pretrain", spec={}, num_parameters=1, size_bytes=1)
    with writing() as session:
        folder = f"{claimed.job_id}-1"
        model = attempts.succeed(
            session, claimed.job_id, claimed.epoch, summary={}, model_folder=folder, manifest=manifest
        )
        assert model is not None
        return model.id


def claim_on(worker_id: str, free: list[str], most_slots: int) -> Claim | None:
    with writing() as session:
        slots.offer(session, free)
        names = dict.fromkeys(free, "GPU")
        return attempts.claim(session, worker_id=worker_id, worker_name="w", free=names, most_slots=most_slots)


def ask_for_slots(job_id: int, number: int) -> None:
    with writing() as session:
        session.execute(update(Job).where(Job.id == job_id).values(num_slots=number))


# ------------------------------------------------------------------------------------------------------------ order


def test_a_waiting_job_moves_by_a_place_and_to_both_ends(text_id: int) -> None:
    a, b, c = (submit(text_id) for _ in range(3))
    move(c, "up")
    assert order() == [a, c, b]
    move(a, "down")
    assert order() == [c, a, b]
    move(b, "first")
    assert order() == [b, c, a]
    move(b, "last")
    assert order() == [c, a, b]
    move(c, "up")
    assert order() == [c, a, b]
    assert must_claim().job_id == c


def test_a_job_can_be_put_anywhere_any_number_of_times(text_id: int) -> None:
    ids = [submit(text_id) for _ in range(4)]
    for _ in range(60):  # halving the gap between two neighbours runs out of numbers; places must not
        moved = order()[-1]
        move_to(moved, 1)
        assert order()[1] == moved
    assert sorted(order()) == ids


def test_a_job_takes_the_priority_of_the_place_it_is_moved_to(text_id: int) -> None:
    normal, urgent, also_urgent = (submit(text_id) for _ in range(3))
    prioritise(urgent, 1)
    prioritise(also_urgent, 1)
    assert order() == [urgent, also_urgent, normal]
    move_to(normal, 1)
    assert order() == [urgent, normal, also_urgent]
    move(urgent, "last")
    assert order() == [normal, also_urgent, urgent]


def test_a_priority_puts_a_job_behind_those_that_have_it(text_id: int) -> None:
    a, b, c = (submit(text_id) for _ in range(3))
    prioritise(b, 1)
    prioritise(a, 1)
    prioritise(c, -1)
    assert order() == [b, a, c]


def test_a_job_that_runs_has_no_place_to_move_from(text_id: int) -> None:
    job_id = submit(text_id)
    must_claim()
    with pytest.raises(BadSpec, match="is running"):
        move(job_id, "up")


def test_a_paused_queue_starts_nothing_and_lets_what_runs_go_on(text_id: int) -> None:
    first, second = submit(text_id), submit(text_id)
    running = must_claim()
    with writing() as session:
        steering.pause_queue(session, None)
    assert claim() is None
    assert sweep() == 0, "workers are not woken for a paused queue"
    with writing() as session:
        attempts.renew(session, first, running.epoch)
        steering.resume_queue(session, None)
    assert must_claim().job_id == second


# ----------------------------------------------------------------------------------------------------------- chains


def test_a_job_waits_for_the_model_of_another_and_then_starts_from_it(text_id: int, chat_id: int) -> None:
    base = submit(text_id, name="base")
    with writing() as session:
        tuned = jobs.submit(session, "sft", {"model": f"job:{base}", "dataset": f"dataset:{chat_id}"}, name="tuned").id
    claimed = must_claim()
    assert claimed.job_id == base
    assert claim() is None, "its model is not made yet"
    model_id = finish_with_model(claimed)
    chained = must_claim()
    assert chained.job_id == tuned
    with reading() as session:
        job = jobs.load_job(session, tuned)
        assert job.spec["model"] == f"model:{model_id}"
        assert job.parent_model is not None
        assert job.parent_model.name == "base"
        assert chained.spec["model"] == models.location_of(models.get_model(session, model_id))


def test_what_waits_for_a_job_that_failed_goes_on_when_that_is_retried(text_id: int, chat_id: int) -> None:
    base = submit(text_id)
    with writing() as session:
        jobs.submit(session, "sft", {"model": f"job:{base}", "dataset": f"dataset:{chat_id}"})
    claimed = must_claim()
    with writing() as session:
        attempts.fail(session, base, claimed.epoch, BadSpec("no"))
    assert claim() is None
    assert sweep() == 0
    with writing() as session:
        jobs.retry(session, base)
    finish_with_model(must_claim())
    assert claim() is not None


def test_a_reference_to_a_job_that_has_succeeded_is_its_model(text_id: int, chat_id: int) -> None:
    base = submit(text_id)
    model_id = finish_with_model(must_claim())
    with writing() as session:
        job = jobs.submit(session, "sft", {"model": f"job:{base}", "dataset": f"dataset:{chat_id}"})
        assert (job.spec["model"], job.after_job_id) == (f"model:{model_id}", None)


def test_a_reference_to_no_job_is_refused(chat_id: int) -> None:
    with pytest.raises(SpecFaults, match="'job:99' names no job"), writing() as session:
        jobs.submit(session, "sft", {"model": "job:99", "dataset": f"dataset:{chat_id}"})


def test_a_job_held_for_order_can_be_let_go_and_one_that_needs_the_model_cannot(text_id: int, chat_id: int) -> None:
    base = submit(text_id)
    with writing() as session:
        later = jobs.submit(session, "pretrain", {"dataset": f"dataset:{text_id}"}, after_job_id=base).id
        tuned = jobs.submit(session, "sft", {"model": f"job:{base}", "dataset": f"dataset:{chat_id}"}).id
    assert must_claim().job_id == base
    assert claim() is None
    with writing() as session:
        steering.let_go(session, later)
        with pytest.raises(BadSpec, match="starts from the model"):
            steering.let_go(session, tuned)
    assert must_claim().job_id == later


# ------------------------------------------------------------------------------------------------------------ slots


def test_a_device_is_held_while_a_job_runs_on_it_and_free_when_it_ends(text_id: int) -> None:
    submit(text_id)
    submit(text_id)
    first = claim_on("w", ["GPU-a"], 1)
    assert first is not None
    assert first.slot_ids == ("GPU-a",)
    assert claim_on("other", ["GPU-a"], 1) is None, "another process on the same machine sees the same GPU"
    with writing() as session:
        attempts.fail(session, first.job_id, first.epoch, BadSpec("no"))
        assert slots.holders(session) == {}
    assert claim_on("other", ["GPU-a"], 1) is not None


def test_a_lost_job_gives_its_device_back(text_id: int) -> None:
    job_id = submit(text_id)
    assert claim_on("w", ["GPU-a"], 1) is not None
    let_lease_run_out(job_id)
    sweep()
    assert state_of(job_id) == JobState.QUEUED
    with reading() as session:
        assert slots.holders(session) == {}


def test_a_job_for_two_devices_saves_them_up_and_smaller_ones_do_not_overtake_it(text_id: int) -> None:
    small, large, late = (submit(text_id) for _ in range(3))
    ask_for_slots(large, 2)
    first = claim_on("w", ["GPU-a", "GPU-b"], 2)
    assert first is not None
    assert first.job_id == small
    assert claim_on("w", ["GPU-b"], 2) is None, "one device is kept free for the large job"
    with writing() as session:
        attempts.fail(session, small, first.epoch, BadSpec("no"))
    second = claim_on("w", ["GPU-a", "GPU-b"], 2)
    assert second is not None
    assert (second.job_id, second.slot_ids) == (large, ("GPU-a", "GPU-b"))
    assert state_of(late) == JobState.QUEUED


def test_a_worker_leaves_jobs_that_it_is_too_small_for_to_others(text_id: int) -> None:
    large, small = submit(text_id), submit(text_id)
    ask_for_slots(large, 2)
    taken = claim_on("w", ["GPU-a"], 1)
    assert taken is not None
    assert taken.job_id == small


def test_a_drained_worker_takes_nothing_until_it_may_again(text_id: int) -> None:
    submit(text_id)
    with writing() as session:
        fleet.beat(session, worker_id="w", name="worker", machine="box", devices=[])
        steering.drain(session, "w", is_draining=True)
    assert claim() is None
    with writing() as session:
        steering.drain(session, "w", is_draining=False)
    assert claim() is not None


def test_a_gpu_is_the_playgrounds_or_a_jobs_and_never_both(text_id: int) -> None:
    submit(text_id)
    with writing() as session:
        slots.offer(session, ["GPU-a"])
        assert slots.hold_for_chat(session, ["GPU-a"], "chat") == "GPU-a"
    assert claim_on("w", ["GPU-a"], 1) is None
    with writing() as session:
        assert slots.hold_for_chat(session, ["GPU-a"], "chat") == "GPU-a", "it is kept by whoever has it"
        slots.release_of_chat(session, "chat")
    assert claim_on("w", ["GPU-a"], 1) is not None
    with writing() as session:
        assert slots.hold_for_chat(session, ["GPU-a"], "chat") is None


def test_a_chat_server_that_died_holds_nothing(text_id: int) -> None:
    submit(text_id)
    with writing() as session:
        slots.offer(session, ["GPU-a"])
        slots.hold_for_chat(session, ["GPU-a"], "chat")
        session.execute(update(Slot).values(lease_expires_at=0.0))
    assert claim_on("w", ["GPU-a"], 1) is not None


def test_a_worker_that_leaves_takes_its_share_of_the_processor_with_it() -> None:
    with writing() as session:
        devices = [{"id": "w/cpu-0"}, {"id": "GPU-a"}]
        fleet.beat(session, worker_id="w", name="worker", machine="box", devices=devices)
        fleet.leave(session, "w")
        assert [slot.id for slot in session.query(Slot)] == ["GPU-a"]

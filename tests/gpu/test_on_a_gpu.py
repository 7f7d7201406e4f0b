"""What only a GPU can show: jobs that train on it, models in 4 and 8 bits on it, and who holds it.

Run where there is one: python -m pytest tests/gpu
"""

from __future__ import annotations

import json
import queue
import subprocess
from collections.abc import Iterator
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from pipeline.generation.engine import Engine
from pipeline.generation.requests import (
    DeviceBusy,
    Failed,
    Finished,
    GenerationEvent,
    GenerationRequest,
    Piece,
    SamplingSettings,
)
from pipeline.model_folder import read_manifest
from store import attempts, slots
from store.database import reading, writing
from tests.tiny_models import make_base
from tests.unit.test_jobs import add_dataset, submit
from workers.children import Child, cool_down, warm_up
from workers.devices import Device, environment_of, find_devices
from workers.inference.tenancy import Tenancy, gpu_slot

pytestmark = pytest.mark.gpu

GIB = 1 << 30


@pytest.fixture(scope="module")
def gpu() -> Device:
    found = find_devices(1)[0]
    if not found.is_gpu:
        pytest.skip("there is no NVIDIA GPU here")
    return found


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rows")
    text = [{"text": f"The hen number {number} sat on an egg in the barn."} for number in range(400)]
    chat = [
        {
            "messages": [
                {"role": "user", "content": f"Where is hen {number}?"},
                {"role": "assistant", "content": "In the barn."},
            ]
        }
        for number in range(200)
    ]
    for name, kept in (("text", text), ("chat", chat)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    return {"text": folder / "text.jsonl", "chat": folder / "chat.jsonl"}


@pytest.fixture(scope="module")
def forked(gpu: Device) -> Iterator[None]:
    """Jobs are forked from a warm process, as a worker forks them."""
    warm_up()
    yield
    cool_down()


@pytest.fixture(scope="module")
def base(gpu: Device, rows: dict[str, Path], forked: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny = {"hidden_size": 128, "num_layers": 2, "num_heads": 4, "num_kv_heads": 4, "context_length": 128}
    return run_job(folder, gpu, recipe="pretrain", dataset=rows["text"], max_steps=30, vocabulary_size=500, **tiny)


def run_job(folder: Path, gpu: Device, **spec: Any) -> Path:
    """Run a job as a worker does; returns the folder of its result."""
    folder.mkdir(exist_ok=True)
    values = {name: str(value) if isinstance(value, Path) else value for name, value in spec.items()}
    (folder / "spec.json").write_text(json.dumps(values), encoding="utf-8")
    arguments = ["run", str(folder / "spec.json"), "--out", str(folder / "out"), "--events", str(folder / "events")]
    child = Child(arguments, environment=environment_of([gpu]), output=folder / "output.log")
    try:
        child.wait(300)
        assert child.exit_code == 0, (folder / "output.log").read_text() + (folder / "events").read_text()[-3000:]
    finally:
        child.kill()
    return folder / "out"


def events_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["event"] for line in (folder.parent / "events").read_text().splitlines()]


def metric(folder: Path, name: str) -> list[float]:
    return [
        event["values"][name] for event in events_of(folder) if event["type"] == "metrics" and name in event["values"]
    ]


def ask(engine: Engine, model: Path) -> tuple[str, Finished | Failed]:
    events: queue.Queue[GenerationEvent] = queue.Queue()
    messages = [{"role": "user", "content": "Where is hen 7?"}]
    engine.submit(GenerationRequest(str(model), messages, SamplingSettings(max_tokens=12, temperature=0)), events.put)
    text = ""
    while True:
        event = events.get(timeout=120)
        if isinstance(event, Piece):
            text += event.text
        if isinstance(event, Finished | Failed):
            return text, event


def test_a_forked_job_trains_on_the_gpu_and_its_fork_server_holds_none_of_it(base: Path, gpu: Device) -> None:
    manifest = read_manifest(base)
    assert manifest is not None
    assert gpu.name in manifest.hardware
    loss = metric(base, "loss")
    assert loss[-1] < loss[0]
    server = forkserver._forkserver._forkserver_pid
    query = ["nvidia-smi", "--query-compute-apps=pid", "--format=csv,noheader"]
    on_gpu = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()
    assert str(server) not in on_gpu
    assert not [line for line in Path(f"/proc/{server}/maps").read_text().splitlines() if "/dev/nvidia" in line]


@pytest.mark.parametrize("method", ["full", "lora", "qlora"])
def test_sft_learns_on_the_gpu_by_each_method(
    method: str, base: Path, gpu: Device, rows: dict[str, Path], tmp_path: Path
) -> None:
    made = run_job(
        tmp_path / method,
        gpu,
        recipe="sft",
        model=base,
        dataset=rows["chat"],
        method=method,
        max_steps=40,
        packing=False,
    )
    loss = metric(made, "loss")
    assert loss[-1] < 0.7 * loss[0]
    engine = Engine(memory_budget_bytes=GIB, device="cuda")
    try:
        _, end = ask(engine, made)
    finally:
        engine.close()
    assert isinstance(end, Finished), end


@pytest.mark.parametrize(("form", "most"), [("nf4", 0.45), ("int8", 0.6)])
def test_a_model_quantized_on_the_gpu_is_small_nearly_as_good_and_answers(
    form: str, most: float, base: Path, gpu: Device, rows: dict[str, Path], tmp_path: Path
) -> None:
    made = run_job(tmp_path / form, gpu, recipe="quantize", model=base, dataset=rows["text"], format=form)
    (summary,) = [event["summary"] for event in events_of(made) if event["type"] == "finished"]
    print(form, summary)
    assert summary["quantized_layers_ratio"] < most
    assert summary["perplexity_after"] < 1.5 * summary["perplexity_before"]
    engine = Engine(memory_budget_bytes=GIB, device="cuda")
    try:
        text, end = ask(engine, made)
    finally:
        engine.close()
    assert isinstance(end, Finished), end
    assert text


def test_the_gpu_goes_by_one_name_and_is_a_jobs_or_the_playgrounds(
    home: Path, gpu: Device, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert gpu_slot("cuda") == gpu.id
    tenancy = Tenancy(gpu.id, idle_seconds=0)
    engine = Engine(memory_budget_bytes=GIB, device="cuda", may_load=tenancy.take)
    model = make_base(tmp_path_factory.mktemp("models") / "base", seed=1)
    submit(add_dataset("prose", "text"))
    try:
        assert isinstance(ask(engine, model)[1], Finished)
        with writing() as session:
            claim = attempts.claim(session, worker_id="w", worker_name="w", free={gpu.id: gpu.name}, most_slots=1)
        assert claim is None
        engine.let_go()
        while engine.holds_weights:
            pass
        with writing() as session:
            slots.release_of_chat(session, tenancy._holder)
            claim = attempts.claim(session, worker_id="w", worker_name="w", free={gpu.id: gpu.name}, most_slots=1)
        assert claim is not None
        refused = ask(engine, model)[1]
        assert isinstance(refused, Failed)
        assert isinstance(refused.error, DeviceBusy)
        with reading() as session:
            assert set(slots.holders(session)) == {gpu.id}
    finally:
        engine.close()


def test_a_device_tells_its_memory_and_its_use(gpu: Device) -> None:
    assert gpu.id.startswith("GPU-")
    assert gpu.memory_bytes > GIB
    assert 0 <= gpu.use_percent <= 100

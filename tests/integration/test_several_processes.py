"""Several processes that train together learn what one would, stop as one, fail in its words, and die together."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.events import Checkpointed, Event, Failed, Finished, LogLine, Metrics, parse_line
from pipeline.model_folder import read_manifest
from store.settings import settings
from workers.children import Child, warm_up

SENTENCE = "the otter lives by the river and bakes warm bread for the whole village every morning"
WORDS = SENTENCE.split()

SMALL = {
    "hidden_size": 64,
    "num_layers": 2,
    "num_heads": 2,
    "num_kv_heads": 1,
    "context_length": 64,
    "vocabulary_size": 400,
    "held_out_share": 0.1,
    "learning_rate": 1e-3,
}


@pytest.fixture(scope="module", autouse=True)
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Jobs are forks of a process that has loaded the libraries, with one thread each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HONE_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("HONE_WARM_START", "1")
        patch.setenv("OMP_NUM_THREADS", "1")
        settings.cache_clear()
        warm_up()
        yield
    settings.cache_clear()


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A few canonical rows of each kind."""
    folder = tmp_path_factory.mktemp("rows")
    text = [{"text": " ".join(WORDS[i % 5 :] + WORDS[: i % 7]) + f" {i}."} for i in range(120)]
    question = [[{"role": "user", "content": f"What is number {i}?"}] for i in range(40)]
    answers = [
        [[{"role": "assistant", "content": f"It is {i}, {end}."}] for end in ("of course", "who cares")]
        for i in range(40)
    ]
    instruction = [{"messages": asked + given[0]} for asked, given in zip(question, answers, strict=True)]
    preference = [
        {"prompt": asked, "chosen": given[0], "rejected": given[1]}
        for asked, given in zip(question, answers, strict=True)
    ]
    paths = {}
    for name, kept in (("text", text), ("instruction", instruction), ("preference", preference)):
        paths[name] = folder / f"{name}.jsonl"
        paths[name].write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
    return paths


@pytest.fixture(scope="module")
def base(rows: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of the text in a few steps of four blocks each."""
    folder = tmp_path_factory.mktemp("base")
    done = Job(folder, "pretrain", dataset=rows["text"], batch_size=4, max_steps=8, evaluations=1, **SMALL)
    assert done.ended_with(0)
    return done.out


class Job:
    """A job in a process of its own, as a worker starts one."""

    def __init__(self, folder: Path, recipe: str, *, name: str = "job", **values: Any) -> None:
        self.folder = folder / name
        self.out, self.checkpoints = self.folder / "out", folder / "checkpoints"
        self.log = self.folder / "output.log"
        write_spec(self.folder, recipe=recipe, **values)
        arguments = ["run", str(self.folder / "spec.json"), "--watch-stdin", "--out", str(self.out)]
        arguments += ["--checkpoints", str(self.checkpoints), "--events", str(self.folder / "events")]
        self.child = Child(arguments, environment={"CUDA_VISIBLE_DEVICES": ""}, output=self.log)

    def ended_with(self, exit_code: int) -> bool:
        self.child.wait(60)
        assert self.child.exit_code == exit_code, f"{self.events[-1:]}\n{self.log.read_text()}"
        assert self.processes() == []
        return True

    def wait_until(self, condition: Callable[[list[Event]], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition(self.events):
            assert self.child.exit_code is None, self.log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    @property
    def events(self) -> list[Event]:
        path = self.folder / "events"
        lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
        numbered = [parse_line(line) for line in lines if line.endswith(b"\n")]
        assert [one.seq for one in numbered] == list(range(1, len(numbered) + 1))
        return [one.event for one in numbered]

    @property
    def failure(self) -> Failed:
        last = self.events[-1]
        assert isinstance(last, Failed)
        return last

    @property
    def measured(self) -> dict[str, float]:
        """The closing figures of held-out rows: other losses are means since a report, which a clock decides on."""
        last = self.events[-1]
        assert isinstance(last, Finished)
        return {name: value for name, value in last.summary.items() if name.startswith(("held_out", "parent", "steps"))}

    def processes(self) -> list[psutil.Process]:
        """Those that write what the job prints."""
        found = []
        for process in psutil.process_iter(["open_files"]):
            if str(self.log) in {file.path for file in process.info["open_files"] or []}:
                found.append(process)
        return found

    def supervisor_and_ranks(self) -> tuple[psutil.Process, list[psutil.Process]]:
        everyone = self.processes()
        (supervisor,) = [process for process in everyone if process.children()]
        return supervisor, supervisor.children()


def write_spec(folder: Path, **values: Any) -> None:
    folder.mkdir(parents=True)
    written = {name: str(value) if isinstance(value, Path) else value for name, value in values.items()}
    (folder / "spec.json").write_text(json.dumps(written), encoding="utf-8")


def trains(events: list[Event]) -> bool:
    return any(isinstance(event, Metrics) for event in events)


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    (path,) = folder.glob("*.safetensors")
    return load_file(path)


def greatest_difference(one: Path, other: Path) -> float:
    a, b = weights_of(one), weights_of(other)
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def test_two_processes_pretrain_what_one_does_from_the_same_batches(
    rows: dict[str, Path], base: Path, tmp_path: Path
) -> None:
    two = Job(
        tmp_path, "pretrain", dataset=rows["text"], batch_size=2, num_processes=2, max_steps=8, evaluations=1, **SMALL
    )
    assert two.ended_with(0)
    assert greatest_difference(two.out, base) < 2e-6
    alone, together = read_manifest(base), read_manifest(two.out)
    assert alone is not None
    assert together is not None
    assert alone.files.keys() == together.files.keys()


@pytest.mark.parametrize(("recipe", "method"), [("sft", "full"), ("dpo", "full"), ("dpo", "lora")])
def test_two_processes_fine_tune_as_one_does_and_measure_the_same(
    recipe: str, method: str, rows: dict[str, Path], base: Path, tmp_path: Path
) -> None:
    # 40 rows less 4 held out are 18 batches of 2, or 9 of 2 for each of two processes.
    kind = {"sft": "instruction", "dpo": "preference"}[recipe]
    shared = {"model": base, "dataset": rows[kind], "method": method, "num_epochs": 1, "batch_size": 2}
    shared |= {"held_out_share": 0.1, "evaluations": 1}
    one = Job(tmp_path / "one", recipe, gradient_accumulation=2, **shared)
    assert one.ended_with(0)
    two = Job(tmp_path / "two", recipe, num_processes=2, **shared)
    assert two.ended_with(0)
    assert greatest_difference(two.out, one.out) < 1e-5
    assert two.measured == pytest.approx(one.measured, rel=1e-3)  # means over batches, which differ


def test_a_pause_stops_all_after_one_whole_checkpoint_and_they_go_on_as_if_never_stopped(
    rows: dict[str, Path], base: Path, tmp_path: Path
) -> None:
    # Dropout draws from the random state of each process, which the checkpoint must hold.
    settings = {"model": base, "dataset": rows["instruction"], "method": "lora", "lora_dropout": 0.1, "packing": False}
    settings |= {"num_processes": 2, "batch_size": 1, "gradient_accumulation": 2, "max_steps": 40, "evaluations": 0}
    whole = Job(tmp_path, "sft", name="whole", **settings)
    assert whole.ended_with(0)

    paused = Job(tmp_path, "sft", name="paused", **settings)
    paused.wait_until(trains)
    assert paused.child.tell("pause")
    assert paused.ended_with(3)
    assert paused.failure.kind == "stopped"
    saved = [event.step for event in paused.events if isinstance(event, Checkpointed)]
    assert len(saved) == 1
    assert saved[0] < 40
    assert [path.name for path in paused.checkpoints.glob("checkpoint-*")] == [f"checkpoint-{saved[0]}"]
    assert not list(paused.out.iterdir())

    resumed = Job(tmp_path, "sft", name="resumed", **settings)
    assert resumed.ended_with(0)
    assert any(isinstance(event, LogLine) and f"step {saved[0]}" in event.text for event in resumed.events)
    assert greatest_difference(resumed.out, whole.out) == 0


def test_when_one_is_killed_all_end_and_the_job_ends_by_the_same_signal(rows: dict[str, Path], tmp_path: Path) -> None:
    job = Job(tmp_path, "pretrain", dataset=rows["text"], num_processes=2, max_steps=1_000_000, **SMALL)
    job.wait_until(trains)
    _, ranks = job.supervisor_and_ranks()
    ranks[1].kill()
    assert job.ended_with(-9)
    last = job.events[-1]
    assert isinstance(last, LogLine)
    assert last.text.startswith("Process 2 of 2 was ended by SIGKILL")


def test_when_the_supervisor_is_killed_no_process_is_left(rows: dict[str, Path], tmp_path: Path) -> None:
    job = Job(tmp_path, "pretrain", dataset=rows["text"], num_processes=2, max_steps=1_000_000, **SMALL)
    job.wait_until(trains)
    supervisor, ranks = job.supervisor_and_ranks()
    supervisor.kill()
    _, alive = psutil.wait_procs(ranks, timeout=10)
    assert alive == []


def test_a_terminated_job_of_several_processes_saves_first(rows: dict[str, Path], tmp_path: Path) -> None:
    job = Job(tmp_path, "pretrain", dataset=rows["text"], num_processes=2, max_steps=1_000_000, **SMALL)
    job.wait_until(trains)
    supervisor, ranks = job.supervisor_and_ranks()
    for process in (supervisor, *ranks):  # as a service manager does, which asks all that it finds
        process.terminate()
    assert job.ended_with(3)
    assert len(list(job.checkpoints.glob("checkpoint-*"))) == 1


def test_a_fault_in_the_data_is_told_in_the_words_of_one_process(base: Path, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    messages = [{"role": "user", "content": " ".join(WORDS * 20)}, {"role": "assistant", "content": "Yes."}]
    data.write_text((json.dumps({"messages": messages}) + "\n") * 8, encoding="utf-8")
    assert failures(tmp_path, model=base, dataset=data) == ["bad_data"]


def test_a_loss_that_is_not_a_number_is_told_in_the_words_of_one_process(
    rows: dict[str, Path], base: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(base, broken)
    weights = load_file(broken / "model.safetensors")
    weights["model.norm.weight"][0] = math.nan
    save_file(weights, broken / "model.safetensors", metadata={"format": "pt"})
    assert failures(tmp_path, model=broken, dataset=rows["instruction"], method="full") == ["diverged"]


def failures(folder: Path, **values: Any) -> list[str]:
    """Of what kinds a fine-tune fails in one process and in two, each way of failing once."""
    told = []
    for num_processes in (1, 2):
        job = Job(folder, "sft", name=f"by-{num_processes}", num_processes=num_processes, **values)
        assert job.ended_with(1)
        told.append(job.failure)
    return [failure.kind for failure in dict.fromkeys(told)]


def test_more_than_memory_holds_is_not_tried_on_a_machine_without_gpus(rows: dict[str, Path], tmp_path: Path) -> None:
    job = Job(tmp_path, "pretrain", dataset=rows["text"], num_processes=2, sharding="fsdp", **SMALL)
    assert job.ended_with(1)
    assert job.failure.message.startswith("sharding: fsdp splits a model between GPUs")


def test_a_split_model_and_an_adapter_on_one_are_saved_whole_and_go_on_from_their_checkpoint(
    rows: dict[str, Path], base: Path, tmp_path: Path
) -> None:
    lora = {"model": base, "dataset": rows["instruction"], "method": "lora", "max_steps": 4, "packing": False}
    lora |= {"evaluations": 0}
    alone = Job(tmp_path / "alone", "sft", batch_size=2, gradient_accumulation=2, **lora)
    assert alone.ended_with(0)

    sharded = {"batch_size": 2, "num_processes": 2, "sharding": "fsdp", "checkpoint_every_minutes": 1e-6}
    pretrain = SMALL | {"recipe": "pretrain", "dataset": rows["text"], "max_steps": 8, "evaluations": 1}
    write_spec(tmp_path / "pretrain", **pretrain, **sharded)
    write_spec(tmp_path / "lora", recipe="sft", gradient_checkpointing=True, **lora, **sharded)
    command = [sys.executable, "-m", "tests.sharding_on_cpu", str(tmp_path / "pretrain"), str(tmp_path / "lora")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for job, last, of_one in (("pretrain", 8, base), ("lora", 4, alone.out)):
        assert f"Resuming from the checkpoint of step {last - 1}" in done.stdout
        assert greatest_difference(tmp_path / job / "whole", of_one) < 1e-5
        assert greatest_difference(tmp_path / job / "resumed", tmp_path / job / "whole") == 0

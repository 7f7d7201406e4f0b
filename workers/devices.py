"""Devices: what this machine can train on, found without loading torch."""

from __future__ import annotations

import csv
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO

import psutil

QUERY = "uuid,name,memory.total,memory.used,utilization.gpu"


@dataclass(frozen=True)
class Device:
    """A GPU, or the share of a machine without one that a single job gets."""

    id: str
    """The GPU's UUID, or `cpu-<number>` of one worker."""
    name: str
    memory_bytes: int
    used_bytes: int
    use_percent: float

    @property
    def is_gpu(self) -> bool:
        return not self.id.startswith("cpu")

    def slot_id(self, worker_id: str) -> str:
        """Its slot: a GPU is one and the same to every process, a share of the processor is its worker's own."""
        return self.id if self.is_gpu else f"{worker_id}/{self.id}"


def environment_of(devices: Sequence[Device]) -> dict[str, str]:
    """What a child process must be told to use these devices and no other."""
    return {"CUDA_VISIBLE_DEVICES": ",".join(device.id for device in devices if device.is_gpu)}


def find_devices(cpu_slots: int) -> list[Device]:
    """The GPUs of this machine, one slot each; without any, `cpu_slots` slots on its processor."""
    gpus = _gpus()
    if gpus:
        return gpus
    memory = psutil.virtual_memory()
    name = f"CPU, {psutil.cpu_count(logical=True)} cores"
    use = psutil.cpu_percent()
    return [Device(f"cpu-{number}", name, memory.total, memory.used, use) for number in range(cpu_slots)]


def _gpus() -> list[Device]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (subprocess.SubprocessError, OSError):
        return []
    return [_read_gpu(row) for row in csv.reader(StringIO(answer.stdout), skipinitialspace=True) if len(row) == 5]


def _read_gpu(row: list[str]) -> Device:
    uuid, name, total_mib, used_mib, use = row
    return Device(
        id=uuid,
        name=name,
        memory_bytes=int(total_mib) * 2**20,
        used_bytes=int(used_mib) * 2**20,
        use_percent=float(use) if use.replace(".", "").isdigit() else 0.0,
    )

"""Group: the processes that do one job together, as one of them sees them.

Each runs the same recipe on its part of every batch. What depends on a clock, on a person or on the disk is decided by
the first and taken over by the others: one that went another way would wait for the rest for ever.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from pipeline.spec import Fault, SpecFaults

LONGEST_WAIT = timedelta(hours=1)
"""How long a process waits for another that lives but does not come; one that dies ends the whole group at once."""


@dataclass(frozen=True)
class Group:
    """A process's place among the processes of its job; a job of one process is a group of one.

    Args:
        rank: Which of them this is, counted from 0.
        size: How many they are.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the one that reports, and writes what is kept."""
        return self.rank == 0

    def agree(self, numbers: Sequence[int]) -> list[int]:
        """The first process's `numbers`, in every process. All must call it, with the same count of numbers."""
        if self.size == 1:
            return list(numbers)
        import torch

        agreed = torch.tensor(numbers, dtype=torch.int64)
        torch.distributed.broadcast(agreed, src=0)
        return [int(number) for number in agreed]

    def wait(self) -> None:
        """Return when every process has called it."""
        if self.size > 1:
            import torch

            torch.distributed.all_reduce(torch.zeros(1))


def join_group(rank: int, size: int, meeting_point: socket.socket) -> Group:
    """Meet the other processes of the job, each of which calls this too.

    They exchange tensors on GPUs through NCCL and tensors in main memory through gloo. The variables are those that
    accelerate's launcher sets: by them its state, and so the trainer's, finds the group.

    Args:
        meeting_point: A socket that listens on the loopback interface; the first process answers on it, so that no
            port has to be guessed, and nobody outside this machine can knock.

    Raises:
        SpecFaults: if the job was given fewer GPUs than it has processes.
    """
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    os.environ.setdefault("GLOO_SOCKET_IFNAME", socket.if_indextoname(1))  # the loopback interface
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // size)))
    import torch

    # A fork has the libraries already, which read the variable when they are loaded.
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    host, port = meeting_point.getsockname()
    store = torch.distributed.TCPStore(
        host,
        port,
        size,
        is_master=rank == 0,
        master_listen_fd=meeting_point.detach() if rank == 0 else None,
        timeout=LONGEST_WAIT,
    )
    torch.distributed.init_process_group(
        _take_a_gpu(rank, size), store=store, rank=rank, world_size=size, timeout=LONGEST_WAIT
    )
    return Group(rank, size)


def _take_a_gpu(rank: int, size: int) -> str:
    """Make one of the job's GPUs this process's own, where there are any; returns the names of the backends."""
    import torch
    from accelerate.utils import check_cuda_p2p_ib_support

    if not torch.cuda.is_available():
        return "gloo"
    num_gpus = torch.cuda.device_count()
    if num_gpus < size:
        raise SpecFaults(
            [Fault("num_processes", f"is {size}, and this machine gives the job {num_gpus} GPUs; ask for no more")]
        )
    torch.cuda.set_device(rank)
    if not check_cuda_p2p_ib_support():
        os.environ |= {"NCCL_P2P_DISABLE": "1", "NCCL_IB_DISABLE": "1"}
    return "cpu:gloo,cuda:nccl"

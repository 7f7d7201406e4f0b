"""`python -m workers.inference`: serve the models of the store, or folders named on the command line."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import socket
import sys
from collections.abc import Mapping

from pipeline.errors import HoneError
from pipeline.watchdog import exit_when_stdin_closes
from store.settings import settings


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    if options.watch_stdin:
        exit_when_stdin_closes()
    try:
        serve(options.host, options.port, folders=dict(options.model), device=options.device)
    except HoneError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        print(
            f"Cannot listen on {options.host}:{options.port}: {error.strerror}. Choose another port.", file=sys.stderr
        )
        return 1
    return 0


def serve(host: str, port: int, *, folders: Mapping[str, str], device: str | None = None) -> None:
    """Listen until the process is told to end; the address is the first line on standard output.

    Args:
        port: 0 takes a free one.
        folders: Names with their folders or Hugging Face ids; where there are none, the store's models are served.

    Raises:
        HoneError: if it would be open to other machines without a key.
        OSError: if the port is taken.
    """
    key = settings().inference_key
    if not _is_loopback(host) and not key:
        raise HoneError(
            f"The inference server would listen on {host} for anyone who can reach it.",
            "Set HONE_INFERENCE_KEY, or listen on 127.0.0.1.",
        )
    listener = socket.create_server((host, port), reuse_port=False)
    print(f"http://{host}:{listener.getsockname()[1]}", flush=True)

    import uvicorn

    from pipeline.generation.engine import Engine
    from workers.inference.server import create_app
    from workers.inference.tenancy import Tenancy, gpu_slot

    chosen = device or best_device()
    budget = memory_budget_bytes(chosen, settings().memory_gb)
    if chosen.startswith("cuda") and not folders:
        tenancy = Tenancy(gpu_slot(chosen))
        engine = Engine(memory_budget_bytes=budget, device=chosen, may_load=tenancy.take)
        tenancy.keep(engine)
    else:
        engine = Engine(memory_budget_bytes=budget, device=chosen)
    hosts = ("127.0.0.1", "localhost") if _is_loopback(host) else ("*",)
    app = create_app(engine, (lambda: folders) if folders else models_of_store, key=key, allowed_hosts=hosts)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    uvicorn.Server(config).run(sockets=[listener])


def models_of_store() -> dict[str, str]:
    """The store's models by name."""
    from store.database import reading
    from store.models import list_own_models, location_of

    with reading() as session:
        return {model.name: location_of(model) for model in list_own_models(session)}


def best_device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def memory_budget_bytes(device: str, memory_gb: float) -> int:
    """What models may fill: what the setting says, or half of what is free on the device now."""
    if memory_gb:
        return int(memory_gb * 1e9)
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(device)[0] // 2
    import psutil

    return int(psutil.virtual_memory().available // 2)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers.inference", description=__doc__)
    parser.add_argument("--host", default=settings().inference_host, help="address to listen on")
    parser.add_argument("--port", type=int, default=settings().inference_port, help="port; 0 takes a free one")
    parser.add_argument("--device", help="cpu, cuda, cuda:1; the best there is where not given")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        type=_name_and_folder,
        metavar="NAME=FOLDER",
        help="serve this folder under this name instead of the store's models; may be given again",
    )
    parser.add_argument("--watch-stdin", action="store_true", help="end when standard input closes")
    return parser


def _name_and_folder(text: str) -> tuple[str, str]:
    name, separator, folder = text.partition("=")
    if not separator or not name or not folder:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=FOLDER")
    return name, folder


if __name__ == "__main__":
    sys.exit(main())

"""The command line: `hone up` starts everything on one machine; the other commands start one part of a fleet."""

from __future__ import annotations

import argparse
import errno
import gc
import logging
import shutil
import socket
import sys
from importlib.metadata import version

from pipeline.errors import HoneError
from pipeline.watchdog import exit_when_stdin_closes
from store.settings import BadSettings, Settings, settings, shown_settings

LEAST_FREE_BYTES = 2 * 2**30


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except HoneError as error:
        print(f"hone: {error}", file=sys.stderr)
        return 1
    return 0


def up(options: argparse.Namespace) -> None:
    """Start web, worker and inference, and stay until Ctrl-C."""
    from webapp.processes import Processes

    chosen = settings()
    check_machine(chosen)
    Processes(chosen).run()


def web(options: argparse.Namespace) -> None:
    """Serve the pages and the API."""
    import uvicorn

    from store.database import upgrade
    from store.first_start import prepare_first_start
    from webapp.app import create_app
    from webapp.data.upload_folders import remove_stale_uploads
    from workers.queue import wake
    from workers.sweeper import start_sweeper

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s web %(levelname)s %(message)s")
    if options.watch_stdin:
        exit_when_stdin_closes()
    chosen = settings()
    _refuse_open_door(chosen)
    upgrade()
    if prepare_first_start():
        wake()
    remove_stale_uploads()
    start_sweeper()
    app = create_app(chosen)
    gc.freeze()  # the pages stay for ever: to look through them all would stop every answer for a third of a second
    uvicorn.run(app, host=chosen.host, port=chosen.port, log_level="warning", timeout_graceful_shutdown=3)


def worker(options: argparse.Namespace) -> None:
    """Run queued jobs on this machine's devices."""
    from store.database import upgrade
    from workers.worker import run_worker

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s worker %(levelname)s %(message)s")
    logging.getLogger("workers").setLevel(logging.INFO)
    logging.getLogger("kombu.connection").setLevel(logging.ERROR)  # warns of "no host" for a queue of files
    if options.watch_stdin:
        exit_when_stdin_closes()
    upgrade()
    run_worker()


def health(options: argparse.Namespace) -> None:
    """Fail unless a worker of this machine was heard of just now; for health checks."""
    from store import fleet
    from store.database import reading

    with reading() as session:
        machines = [worker.machine for worker in fleet.live_workers(session)]
    if socket.gethostname() not in machines:
        raise HoneError(f"No worker of {socket.gethostname()} was heard of.", "Start one with: hone worker")


def show_settings(options: argparse.Namespace) -> None:
    """Print every setting, its value and what it is for."""
    for variable, shown, description in shown_settings(settings()):
        print(f"{variable}={shown}\n    {description}")


def check_machine(chosen: Settings) -> None:
    """Refuse, in one line, what would only fail later.

    Raises:
        BadSettings: if the data folder cannot be written or is full, or the port is busy.
    """
    try:
        chosen.home.mkdir(parents=True, exist_ok=True)
        (chosen.home / ".can-write").touch()
        (chosen.home / ".can-write").unlink()
    except OSError as error:
        raise BadSettings(
            f"The data folder {chosen.home} cannot be written: {error.strerror}.",
            "Set HONE_HOME to a folder that can be.",
        ) from error
    free = shutil.disk_usage(chosen.home).free
    if free < LEAST_FREE_BYTES:
        raise BadSettings(
            f"The disk of {chosen.home} has {free / 2**30:.1f} GB free; {LEAST_FREE_BYTES / 2**30:.0f} GB are needed.",
            "Free some space, or set HONE_HOME to a folder on another disk.",
        )
    _refuse_open_door(chosen)
    with socket.socket(socket.AF_INET6 if ":" in chosen.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((chosen.host, chosen.port))
        except OSError as error:
            reason = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
            raise BadSettings(
                f"Port {chosen.port} on {chosen.host} {reason}; is Hone running already?",
                f"Stop what uses it, or choose another port: HONE_PORT={chosen.port + 1} make up",
            ) from error


def _refuse_open_door(chosen: Settings) -> None:
    if chosen.host not in ("127.0.0.1", "localhost", "::1") and not chosen.password:
        raise BadSettings(
            f"HONE_HOST={chosen.host} lets other machines in, and no password is set.",
            "Set HONE_PASSWORD, or leave HONE_HOST at 127.0.0.1.",
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hone", description="A workbench for language models.")
    parser.add_argument("--version", action="version", version=f"hone {version('hone')}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in (
        ("up", up),
        ("web", web),
        ("worker", worker),
        ("health", health),
        ("settings", show_settings),
    ):
        sub = commands.add_parser(name, help=(command.__doc__ or "").splitlines()[0])
        sub.set_defaults(command=command)
        if name in ("web", "worker"):
            sub.add_argument("--watch-stdin", action="store_true", help="end when standard input closes")
    return parser


if __name__ == "__main__":
    sys.exit(main())

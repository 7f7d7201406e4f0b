"""`python -m pipeline.world FOLDER`: write the shipped data as canonical rows, to run recipes on without a server."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.world.files import write_world


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m pipeline.world", description="Write the shipped data to a folder.")
    parser.add_argument("folder", type=Path)
    for path in write_world(parser.parse_args().folder).values():
        print(path)


if __name__ == "__main__":
    main()

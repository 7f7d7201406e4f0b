"""The hub: a dataset by its id, pinned to a commit, as one file of rows.

Only files of rows are fetched (Parquet, JSON, CSV); a script that came with a dataset is neither fetched nor run.

    python -m pipeline.data.hub owner/name OUT [--config C] [--split S] [--revision R]
"""

from __future__ import annotations

import argparse
import fnmatch
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict

from pipeline.errors import BadData, HoneError, as_hone_error

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
_REVISION = re.compile(r"[\w./-]{1,100}")
_ADDRESS = re.compile(r"https?://[^/]+/datasets/([^/?#]+(?:/[^/?#]+)?).*")
_ENDINGS = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv")
"""The files that are rows, the best kept first."""
_JOINED = (".parquet", ".jsonl", ".ndjson")
_PACKED = (".gz", ".zst")
_NOT_ROWS = {"dataset_infos.json", "dataset_dict.json", "dataset_info.json", "state.json", "config.json"}
_SPLIT = re.compile(r"(?:^|[/_.-])(train|training|test|testing|validation|valid|val|dev)(?=[/_.-])")
_SPLIT_NAMES = {"training": "train", "testing": "test", "valid": "validation", "val": "validation", "dev": "validation"}


class HubOrigin(BaseModel):
    """Where on the hub rows came from: enough to fetch the same bytes again."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    revision: str
    """The hash of the commit."""
    config: str | None
    split: str | None
    files: tuple[str, ...]

    @property
    def file_name(self) -> str:
        endings = "".join(s for s in PurePosixPath(self.files[0]).suffixes[-2:] if s in _ENDINGS + _PACKED)
        parts = [self.dataset.split("/")[-1], self.config, self.split]
        return "-".join(part for part in parts if part and part != "default") + endings


@dataclass(frozen=True)
class _Group:
    """Files that belong together: a split of a configuration."""

    config: str | None
    split: str | None
    files: tuple[str, ...]


def checked_id(dataset: str) -> str:
    """An id from what a person typed or copied out of the address bar.

    Raises:
        BadData: if it can be no dataset's id.
    """
    typed = dataset.strip()
    address = _ADDRESS.fullmatch(typed)
    wanted = address.group(1) if address else typed
    if not _ID.fullmatch(wanted) or ".." in wanted:
        raise BadData(f"{typed[:80]!r} is not the id of a dataset.", "An id looks like owner/name.")
    return wanted


def find_on_hub(
    dataset: str, *, config: str | None = None, split: str | None = None, revision: str | None = None
) -> HubOrigin:
    """Find the files of a dataset's split at the commit where a revision (the main branch unless given) is now.

    Raises:
        BadData: if the hub cannot be reached, has no such dataset, or it is not plain which of its files are meant.
    """
    wanted = checked_id(dataset)
    if revision and not _REVISION.fullmatch(revision):
        raise BadData(f"{revision[:80]!r} is not a revision.", "Give a branch, a tag or the hash of a commit.")
    from huggingface_hub import HfApi

    with _HubErrors(wanted):
        found = HfApi().dataset_info(wanted, revision=revision, timeout=20)
    names = [sibling.rfilename for sibling in found.siblings or ()]
    files = [name for name in names if _is_rows(name)]
    if not files:
        shown = ", ".join(names[:5]) or "none"
        raise BadData(
            f"{wanted} has no Parquet, JSON or CSV file; its files: {shown}.",
            "Its rows may be made by a script, which is never run here. Export them yourself, and upload the file.",
        )
    card = found.card_data.to_dict() if found.card_data else {}
    group = _chosen(_groups_of(card, files) or _groups_by_name(files), wanted, config, split)
    if not found.sha:
        raise BadData(f"The hub does not say at which commit {wanted} is.", "Try again later.")
    return HubOrigin(
        dataset=wanted,
        revision=found.sha,
        config=group.config,
        split=group.split,
        files=_of_one_format(group.files, wanted),
    )


def fetch_from_hub(
    origin: HubOrigin, out: Path, *, max_bytes: int, on_progress: Callable[[int, int], None] = lambda done, all: None
) -> None:
    """Fetch the files and write them as one, `out`.

    Args:
        origin: What `find_on_hub` found.
        out: A file that does not exist yet.
        max_bytes: Where all files together are more, nothing is kept.
        on_progress: Told how many files are there, of how many.

    Raises:
        BadData: if the hub cannot be reached, or it is too much.
    """
    from huggingface_hub import hf_hub_download

    scratch = out.with_name(f"{out.name}.files")
    fetched: list[Path] = []
    try:
        for name in origin.files:
            with _HubErrors(origin.dataset):
                path = hf_hub_download(
                    origin.dataset, name, repo_type="dataset", revision=origin.revision, local_dir=scratch
                )
            fetched.append(Path(path))
            if sum(path.stat().st_size for path in fetched) > max_bytes:
                raise BadData(f"{origin.dataset} has more than {max_bytes / 1e9:.3g} GB.", "Choose a smaller split.")
            on_progress(len(fetched), len(origin.files))
        _join(fetched, out)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_rows(name: str) -> bool:
    path = PurePosixPath(name)
    is_inside = not path.is_absolute() and ".." not in path.parts and not name.startswith(".")
    return is_inside and path.name not in _NOT_ROWS and _ending_of(name) in _ENDINGS


def _ending_of(name: str) -> str:
    path = PurePosixPath(name.lower())
    return PurePosixPath(path.stem).suffix if path.suffix in _PACKED else path.suffix


def _groups_of(card: dict[str, Any], files: Sequence[str]) -> list[_Group]:
    """What the dataset's card says of its configurations and their files."""
    groups = []
    for entry in card.get("configs") or ():
        data_files = entry.get("data_files") if isinstance(entry, dict) else None
        for part in data_files if isinstance(data_files, list) else [data_files]:
            split = part.get("split") if isinstance(part, dict) else "train"
            patterns = part.get("path") if isinstance(part, dict) else part
            listed = [patterns] if isinstance(patterns, str) else patterns or []
            matching = tuple(name for name in files if any(fnmatch.fnmatchcase(name, str(p)) for p in listed))
            if matching:
                groups.append(_Group(str(entry.get("config_name", "default")), str(split), matching))
    return groups


def _groups_by_name(files: Sequence[str]) -> list[_Group]:
    """Configurations by folder and splits by the names of files, as the hub itself reads them where nothing is said."""
    sorted_out: dict[tuple[str, str], list[str]] = {}
    for name in files:
        folder = PurePosixPath(name).parts[0] if "/" in name else "default"
        config = "default" if folder == "data" or _SPLIT.search(f"/{folder}/") else folder
        found = _SPLIT.search(name)
        split = _SPLIT_NAMES.get(found.group(1), found.group(1)) if found else "train"
        sorted_out.setdefault((config, split), []).append(name)
    return [_Group(config, split, tuple(names)) for (config, split), names in sorted_out.items()]


def _chosen(groups: list[_Group], dataset: str, config: str | None, split: str | None) -> _Group:
    configs = list(dict.fromkeys(group.config for group in groups))
    wanted = config or ("default" if "default" in configs else configs[0] if len(configs) == 1 else None)
    if wanted not in configs:
        said = f"has no configuration {config!r}" if config else f"has {len(configs)} configurations"
        raise BadData(f"{dataset} {said}.", f"Choose one: {', '.join(map(str, configs[:20]))}.")
    splits = {str(group.split): group for group in groups if group.config == wanted}
    name = split or ("train" if "train" in splits else next(iter(splits)) if len(splits) == 1 else None)
    if name not in splits:
        said = f"has no split {split!r}" if split else f"has {len(splits)} splits"
        raise BadData(f"{dataset} {said}.", f"Choose one: {', '.join(list(splits)[:20])}.")
    return splits[name]


def _of_one_format(files: Sequence[str], dataset: str) -> tuple[str, ...]:
    ending = next(ending for ending in _ENDINGS if any(_ending_of(name) == ending for name in files))
    same = tuple(sorted(name for name in files if _ending_of(name) == ending))
    is_packed = any(PurePosixPath(name).suffix in _PACKED for name in same)
    if len(same) > 1 and (ending not in _JOINED or (is_packed and ending == ".parquet")):
        raise BadData(
            f"The split has {len(same)} {ending} files, which cannot be joined: {', '.join(same[:4])}.",
            f"Download one of them from {dataset} and upload it here.",
        )
    return same


def _join(files: Sequence[Path], out: Path) -> None:
    if len(files) == 1:
        files[0].rename(out)
    elif files[0].suffix == ".parquet":
        _join_parquet(files, out)
    else:  # lines follow lines; compressed frames follow compressed frames
        with out.open("xb") as whole:
            for path in files:
                with path.open("rb") as part:
                    shutil.copyfileobj(part, whole, 1 << 20)
                    if path.suffix not in _PACKED:
                        part.seek(-1, 2)
                        whole.write(b"" if part.read(1) == b"\n" else b"\n")


def _join_parquet(files: Sequence[Path], out: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.unify_schemas([pq.read_schema(path) for path in files], promote_options="permissive")
    with pq.ParquetWriter(out, schema) as writer:
        for path in files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=1024):
                    table = pa.Table.from_batches([batch])
                    for field in schema:
                        if field.name not in table.column_names:
                            table = table.append_column(field, pa.nulls(len(table), field.type))
                    writer.write_table(table.select(schema.names).cast(schema))


class _HubErrors:
    """Turns what the hub's client raises into words for a person."""

    def __init__(self, dataset: str) -> None:
        self._dataset = dataset

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, HoneError) or not isinstance(error, Exception):
            return
        raise _in_words(self._dataset, error) from error


def _in_words(dataset: str, error: Exception) -> HoneError:
    from huggingface_hub import constants, errors

    endpoint = constants.ENDPOINT
    if isinstance(error, errors.GatedRepoError):
        return BadData(
            f"{dataset} is given only to those who have agreed to its terms.",
            "Agree on its page, and start Hone with your token in HF_TOKEN.",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return BadData(
            f"{endpoint} has no dataset {dataset}, or it is private.", "Check the id; a private one needs HF_TOKEN."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return BadData(f"{dataset} has no such revision.", "Give a branch, a tag or the hash of a commit.")
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        return as_hone_error(error)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return BadData(
            "The hub is not asked: HF_HUB_OFFLINE is set.", "Unset it, or download the file elsewhere and upload it."
        )
    return BadData(
        f"The hub at {endpoint} cannot be reached ({type(error).__name__}: {str(error)[:160]}).",
        "Check this machine's way to the internet and HF_ENDPOINT, or download the file elsewhere and upload it.",
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.data.hub", description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("out", type=Path, help="a file that does not exist yet")
    for name in ("config", "split", "revision"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--max-bytes", type=int, default=64 * 10**9)
    given = parser.parse_args(arguments)
    try:
        origin = find_on_hub(given.dataset, config=given.config, split=given.split, revision=given.revision)
        _say("found", origin.model_dump())
        fetch_from_hub(
            origin,
            given.out,
            max_bytes=given.max_bytes,
            on_progress=lambda done, all: _say("progress", {"num_files": done, "of": all}),
        )
    except Exception as error:
        told = as_hone_error(error)
        _say("failed", {"kind": told.kind, "message": told.message, "advice": told.advice})
        return 1
    _say("fetched", {})
    return 0


def _say(what: str, values: dict[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps({"type": what} | values, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main())

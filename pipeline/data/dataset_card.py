"""Dataset cards: `README.md` as Hugging Face's hub reads it, with what is known and a place for what is not."""

from __future__ import annotations

from dataclasses import dataclass

import yaml

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10**7, "1M<n<10M"))
_USES = {
    "text": "Plain text, for pre-training.",
    "instruction": "Conversations to learn answers from, for TRL's `SFTTrainer`.",
    "preference": "A prompt with a chosen and a rejected answer, for TRL's `DPOTrainer` and `RewardTrainer`.",
    "unpaired": "A prompt with one answer that was found good or bad, for TRL's `KTOTrainer`.",
}


@dataclass(frozen=True)
class CardFacts:
    """What a card says of where the rows came from.

    Args:
        name: Of the dataset, as people call it.
        version: Its number.
        sha256: Of its canonical rows.
        origin: How it was made, one fact a line, as plain text.
    """

    name: str
    version: int
    sha256: str
    origin: tuple[tuple[str, str], ...]


def dataset_card(facts: CardFacts, kind: str, columns: dict[str, str], sizes: dict[str, int], file_format: str) -> str:
    """The card of an export.

    Args:
        columns: Each column's name and what it holds.
        sizes: The number of rows of each split.
        file_format: The ending of the files under `data/`.
    """
    total = sum(sizes.values())
    files = [{"split": name, "path": f"data/{name}.{file_format}"} for name in sizes]
    header = {
        "pretty_name": " ".join(facts.name.split()),
        "size_categories": [next((words for limit, words in _SIZES if total < limit), "n>10M")],
        "task_categories": ["text-generation"],
        "tags": ["hone", kind],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    written = yaml.safe_dump(header, sort_keys=False, allow_unicode=True)
    features = "\n".join(f"| `{name}` | {holds} |" for name, holds in columns.items())
    splits = "\n".join(f"| {name} | {count} |" for name, count in sizes.items())
    origin = "\n".join(f"- {_plain(title)}: {_plain(words)}" for title, words in facts.origin)
    return (
        "---\n# Say under which licence you share it, such as cc-by-4.0, before you share it.\nlicense:\n"
        f"{written}---\n\n# {_plain(facts.name)}\n\n{_USES[kind]}\n\n"
        f"## Splits\n\n| split | rows |\n|---|---|\n{splits}\n\n"
        f"## Columns\n\n| column | holds |\n|---|---|\n{features}\n\n"
        f"## Provenance\n\n{origin}\n- Version: {facts.version}\n- SHA-256 of the rows: `{facts.sha256}`\n"
        "- Exported by Hone\n\n"
        "## Licence\n\nTo be filled in by whoever shares it, here and in the header.\n"
    )


def _plain(text: str) -> str:
    """One line that Markdown and HTML take as it is."""
    one_line = " ".join(text.split())
    return "".join(
        f"\\{sign}" if sign in "\\`*_[]#|" else {"<": "&lt;", "&": "&amp;"}.get(sign, sign) for sign in one_line
    )

"""Findings: the kinds of things that can be wrong with rows, in words, and how a report of them lies on disk.

findings.json                what was found, and what was looked for
rows/<kind>.npy              numbers of the rows, from 0, ascending (uint32)
rows/<kind>.partners.npy     for each the row that it is compared with, or -1 (int64), where there is one
rows/<kind>.sets.npy         and the evaluation set in which that row stands (int16)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from pipeline.errors import BadData
from pipeline.model_folder import write_atomically

Severity = Literal["bad", "warn", "note"]
RowNumbers = npt.NDArray[np.uint32]

FINDINGS_FILE = "findings.json"


@dataclass(frozen=True)
class FindingKind:
    """A kind of finding.

    Args:
        title: What its card says.
        severity: How much it matters where it is found.
        one, many: The sentence about one row and about several, with `{n}` for how many.
        advice: What it does to a model, and what can be done.
        row_kinds: Kinds of rows that it is looked for in.
    """

    title: str
    severity: Severity
    one: str
    many: str
    advice: str
    row_kinds: tuple[str, ...] = ("text", "instruction", "preference", "unpaired")


_ANSWERED = ("instruction", "unpaired")
_SAYING = ("instruction", "preference", "unpaired")
_PAIRS = ("preference",)

KINDS: dict[str, FindingKind] = {
    "overlap_questions": FindingKind(
        "Questions of an evaluation set",
        "bad",
        "{n} row asks, word for word, what a row of an evaluation set asks.",
        "{n} rows ask, word for word, what rows of an evaluation set ask.",
        "A model that was trained on the question is no longer measured by it. Leave these out before you train.",
    ),
    "overlap_runs": FindingKind(
        "Text of an evaluation set",
        "bad",
        "{n} row shares a run of 13 or more words with a row of an evaluation set.",
        "{n} rows share a run of 13 or more words with rows of an evaluation set.",
        "Long runs of the same words are rarely chance: the row holds a part of what the model is measured on.",
    ),
    "overlap_near": FindingKind(
        "Nearly in an evaluation set",
        "warn",
        "{n} row, or its question, is nearly the same as one of an evaluation set.",
        "{n} rows, or their questions, are nearly the same as ones of an evaluation set.",
        "Reworded questions flatter a model too. Look at some, and leave them out if they are the same in substance.",
    ),
    "secrets": FindingKind(
        "Secrets",
        "bad",
        "{n} row holds something with the form of a key, a token or a password.",
        "{n} rows hold something with the form of a key, a token or a password.",
        "A model can be made to say what it was trained on. Leave them out; if a key is real, withdraw it too.",
    ),
    "cards": FindingKind(
        "Payment cards",
        "bad",
        "{n} row holds a payment card number with a valid check digit.",
        "{n} rows hold payment card numbers with a valid check digit.",
        "A model can be made to say what it was trained on.",
    ),
    "ibans": FindingKind(
        "Bank accounts",
        "bad",
        "{n} row holds an IBAN with valid check digits.",
        "{n} rows hold IBANs with valid check digits.",
        "A model can be made to say what it was trained on.",
    ),
    "contradictions": FindingKind(
        "Contradictory pairs",
        "bad",
        "{n} pair says the opposite of another: the same prompt and answers, the other way round.",
        "{n} pairs contradict each other: the same prompt and answers, the other way round.",
        "Training on both cancels out and teaches nothing. Leaving all of them out is the safe choice.",
        _PAIRS,
    ),
    "identical_pairs": FindingKind(
        "Identical answers",
        "bad",
        "In {n} pair the chosen and the rejected answer are the same.",
        "In {n} pairs the chosen and the rejected answer are the same.",
        "There is nothing to prefer: the pair costs time and teaches nothing.",
        _PAIRS,
    ),
    "empty_pairs": FindingKind(
        "Empty answers",
        "bad",
        "In {n} pair one of the answers says nothing.",
        "In {n} pairs one of the answers says nothing.",
        "An empty rejected answer teaches that anything is better than nothing; an empty chosen one teaches silence.",
        _PAIRS,
    ),
    "empty_answers": FindingKind(
        "Empty answers",
        "bad",
        "{n} row ends without an answer: nothing, only punctuation, or a word such as “N/A”.",
        "{n} rows end without an answer: nothing, only punctuation, or a word such as “N/A”.",
        "The model would learn to say nothing.",
        ("text", *_ANSWERED),
    ),
    "exact_duplicates": FindingKind(
        "Copies",
        "warn",
        "{n} row is a copy of an earlier one.",
        "{n} rows are copies of earlier ones.",
        "A copy is trained on twice, and splits may put it on both sides. The first of each stays.",
    ),
    "near_duplicates": FindingKind(
        "Near copies",
        "warn",
        "{n} row is nearly the same as an earlier one.",
        "{n} rows are nearly the same as earlier ones.",
        "Variants of one row weigh as several. The first of each group stays.",
    ),
    "emails": FindingKind(
        "E-mail addresses",
        "warn",
        "{n} row holds an e-mail address.",
        "{n} rows hold e-mail addresses.",
        "They may be invented; if they are people's, a model can be made to say them.",
    ),
    "phones": FindingKind(
        "Telephone numbers",
        "warn",
        "{n} row holds a telephone number.",
        "{n} rows hold telephone numbers.",
        "They may be invented; if they are people's, a model can be made to say them.",
    ),
    "ips": FindingKind(
        "IP addresses",
        "warn",
        "{n} row holds a public IP address.",
        "{n} rows hold public IP addresses.",
        "An address can tell who was where. Private and documentation addresses are not counted.",
    ),
    "refusals": FindingKind(
        "Refusals",
        "warn",
        "{n} answer begins with a refusal.",
        "{n} answers begin with a refusal.",
        "A few hundred of them make a model refuse harmless things. Keep them only if you mean to teach them.",
        _SAYING,
    ),
    "stock_phrases": FindingKind(
        "Words of another assistant",
        "warn",
        "{n} answer says which program it comes from (“As an AI language model …”).",
        "{n} answers say which program they come from (“As an AI language model …”).",
        "The model would say the same of itself.",
        _SAYING,
    ),
    "template_marks": FindingKind(
        "Marks of chat templates",
        "warn",
        "{n} row has marks of a chat template inside its text.",
        "{n} rows have marks of a chat template inside their text.",
        "They should stand around a turn, not in it: the model learns to write them, or to end too early.",
    ),
    "garbled": FindingKind(
        "Garbled characters",
        "warn",
        "{n} row was decoded in the wrong way somewhere (“CafÃ©” for “Café”).",
        "{n} rows were decoded in the wrong way somewhere (“CafÃ©” for “Café”).",
        "The model would learn to write it so.",
    ),
    "repeated_turns": FindingKind(
        "Repeated turns",
        "warn",
        "In {n} conversation a turn repeats an earlier one word for word.",
        "In {n} conversations a turn repeats an earlier one word for word.",
        "It teaches a model to repeat itself, or to echo what it was asked.",
        ("instruction",),
    ),
    "near_identical_pairs": FindingKind(
        "Nearly identical answers",
        "warn",
        "In {n} pair the two answers are nearly the same.",
        "In {n} pairs the two answers are nearly the same.",
        "DPO then lowers the probability of both, since most of their tokens are shared. Look at some "
        "before you decide.",
        _PAIRS,
    ),
    "length_bias": FindingKind(
        "Longer answers are preferred", "warn", "", "", "", _PAIRS,
    ),
    "same_prompt": FindingKind(
        "One prompt, several answers",
        "note",
        "{n} row asks what an earlier row asks, and answers otherwise.",
        "{n} rows ask what earlier rows ask, and answer otherwise.",
        "Several good answers do no harm; answers that contradict each other do.",
        ("instruction",),
    ),
    "other_language": FindingKind(
        "Other languages", "note", "", "", "Fine if you meant it; a few rows are too few to learn a language from.",
    ),
    "too_long": FindingKind(
        "Unusually long",
        "note",
        "{n} row is far longer than the rest.",
        "{n} rows are far longer than the rest.",
        "They may be cut at the maximum length, and weigh more than others. The tab “What is trained” "
        "shows what is cut.",
    ),
    "too_short": FindingKind(
        "Unusually short",
        "note",
        "{n} row is far shorter than the rest.",
        "{n} rows are far shorter than the rest.",
        "Short answers can be right; look at some.",
    ),
    "markup": FindingKind(
        "HTML left over",
        "note",
        "{n} row has HTML tags or entities in running text.",
        "{n} rows have HTML tags or entities in running text.",
        "Left from a web page, most often; the model would write them too.",
    ),
}  # fmt: skip
"""Every kind, the gravest first: the order in which the page lists what was checked."""

SEVERITIES: tuple[Severity, ...] = ("bad", "warn", "note")


class Finding(BaseModel):
    """What was found of one kind."""

    model_config = ConfigDict(frozen=True)

    kind: str
    severity: Severity
    sentence: str
    advice: str
    count: int
    share: float


class QualityReport(BaseModel):
    """What an inspection found out about a dataset version."""

    model_config = ConfigDict(frozen=True)

    num_rows: int
    row_kind: str
    findings: list[Finding]
    """The gravest first, then those of more rows."""
    checked: list[str]
    """Every kind that was looked for."""
    languages: dict[str, int]
    """Rows by ISO 639-1 code, the commonest first; "" where it could not be told."""
    num_compared: list[int]
    """Rows of each evaluation set that it was compared with."""
    median_characters: int
    """Of what is trained on in a row."""
    seconds: float


def words_for(kind: str, count: int) -> tuple[str, str]:
    """The sentence about so many rows, and the advice."""
    told = KINDS[kind]
    number = f"{count:,}".replace(",", "\u202f")
    return (told.one if count == 1 else told.many).format(n=number), told.advice


def write_report(folder: Path, report: QualityReport) -> None:
    write_atomically(folder / FINDINGS_FILE, report.model_dump_json(indent=2).encode())


def read_quality_report(folder: Path) -> QualityReport:
    """Raises:
    BadData: if the folder holds no whole report.
    """
    try:
        return QualityReport.model_validate_json((folder / FINDINGS_FILE).read_bytes())
    except (OSError, ValueError) as error:
        raise BadData("The report of this inspection is missing or damaged.", "Inspect the data again.") from error


def write_rows(
    folder: Path,
    kind: str,
    rows: npt.NDArray[np.int64],
    partners: npt.NDArray[np.int64] | None = None,
    sets: npt.NDArray[np.int64] | None = None,
) -> None:
    """Keep the numbers of the rows of a kind, and what each is compared with."""
    places = folder / "rows"
    places.mkdir(exist_ok=True)
    order = np.argsort(rows, kind="stable")
    np.save(places / f"{kind}.npy", rows[order].astype(np.uint32))
    if partners is not None:
        np.save(places / f"{kind}.partners.npy", partners[order].astype(np.int64))
    if sets is not None:
        np.save(places / f"{kind}.sets.npy", sets[order].astype(np.int16))


def rows_of_finding(folder: Path, kind: str) -> RowNumbers:
    """The numbers of the rows of a kind, ascending; they stay on disk until they are used.

    Raises:
        BadData: if the report has no such finding.
    """
    if kind not in KINDS:
        raise BadData(f"There is no finding {kind[:40]!r}.", "Choose one on the page.")
    try:
        rows: RowNumbers = np.load(folder / "rows" / f"{kind}.npy", mmap_mode="r")
    except (OSError, ValueError) as error:
        raise BadData("The rows of this finding are missing or damaged.", "Inspect the data again.") from error
    return rows


def partners_of_finding(folder: Path, kind: str) -> npt.NDArray[np.int64] | None:
    """For each row of a kind the row that it is compared with, or None for a kind that has no such rows."""
    file = folder / "rows" / f"{kind}.partners.npy"
    return np.load(file, mmap_mode="r") if kind in KINDS and file.is_file() else None


def sets_of_finding(folder: Path, kind: str) -> npt.NDArray[np.int16] | None:
    """And the evaluation set in which that row stands; None where it is a row of the same dataset."""
    file = folder / "rows" / f"{kind}.sets.npy"
    return np.load(file, mmap_mode="r") if kind in KINDS and file.is_file() else None

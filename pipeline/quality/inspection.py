"""Inspection: one pass over the rows of a dataset that notes what is wrong with each, then what only all of them tell.

Memory is about 60 bytes a row, what evaluation sets need (see `overlap`), and 8 bytes a finding; the signatures by
which near copies are found lie in a file of 512 bytes a row. Rows themselves are never held.
"""

from __future__ import annotations

import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.quality import near
from pipeline.quality.detectors import detect
from pipeline.quality.findings import (
    KINDS,
    SEVERITIES,
    Finding,
    QualityReport,
    Severity,
    words_for,
    write_report,
    write_rows,
)
from pipeline.quality.languages import UNKNOWN, language_name, language_of
from pipeline.quality.overlap import EvaluationRows, Place, question_hash, run_hashes
from pipeline.quality.pairs import LENGTH_BIAS_ADVICE, balancing_rows, contradicting_rows, length_bias_words
from pipeline.quality.statistics import OUTLIER_Z, robust_z
from pipeline.quality.texts import Row, RowTexts, hash_of, hash_of_row, shingles_of, words_of
from pipeline.training.rows import kind_of

BATCH_ROWS = 1000
RARE_LANGUAGE = 0.1
"""A language of a larger share of the rows is one of the dataset's own."""
LEAST_ROWS_FOR_OUTLIERS = 20
_LANGUAGE_CHARACTERS = 160
"""Of the question and of the answer, that are read to tell a row's language."""

Numbers = npt.NDArray[np.int64]


class Inspection:
    """Rows go in one after another, in order; `finish` writes the report.

    Args:
        out: The report's folder.
        scratch: A folder for the signatures, which are removed at the end.
        num_rows: How many rows there will be.
        similarity: From which estimated Jaccard similarity on rows are nearly the same.
        compared: The evaluation sets, closed; None where there are none.
    """

    def __init__(
        self, out: Path, scratch: Path, *, num_rows: int, similarity: float, compared: EvaluationRows | None = None
    ) -> None:
        self.out = out
        self.similarity = similarity
        self.compared = compared
        self.row_kind = ""
        self._signature_file = scratch / "signatures.npy"
        self._signatures = near.new_signature_file(self._signature_file, num_rows)
        self._rows: dict[str, array[int]] = {}
        self._partners: dict[str, array[int]] = {}
        self._row_hashes, self._prompts, self._answers, self._rejected = (array("Q") for _ in range(4))
        self._lengths, self._rejected_lengths = array("L"), array("L")
        self._languages: list[str] = []
        self._language_of_row = array("B")
        self._started = time.monotonic()

    @property
    def num_read(self) -> int:
        return len(self._row_hashes)

    def read(self, rows: list[Row]) -> None:
        """Take in the next rows: best many at once, since signatures are made together."""
        first = self.num_read
        batch = [RowTexts(row) for row in rows]
        words = [words_of(texts.compared) for texts in batch]
        signatures = near.signatures_of([shingles_of(spoken, near.SHINGLE_WORDS) for spoken in words])
        self._signatures[first : first + len(rows)] = signatures
        for number, texts in enumerate(batch, first):
            self._note(number, texts)
        if self.compared is not None and batch:
            asked = [shingles_of(words_of(texts.asked), near.SHINGLE_WORDS) for texts in batch]
            questions = near.signatures_of(asked)
            self._compare(self.compared, first, batch, words, signatures, questions)

    def finish(self, on_step: Callable[[str], None] = lambda step: None) -> QualityReport:
        """Find what only all rows tell, and write everything down."""
        on_step("Finding copies")
        self._find_copies(on_step)
        if self.row_kind == "preference":
            self._find_contradictions()
        on_step("Finding outliers")
        self._find_outliers()
        languages = self._find_languages()
        sentences = self._find_length_bias() if self.row_kind == "preference" else {}
        report = QualityReport(
            num_rows=self.num_read,
            row_kind=self.row_kind,
            findings=self._findings(sentences | self._language_words(languages)),
            checked=self._checked(),
            languages=dict(languages.most_common()),
            num_compared=_sizes(self.compared),
            median_characters=int(np.median(self._lengths)) if self._lengths else 0,
            seconds=round(time.monotonic() - self._started, 3),
        )
        self._write_rows()
        write_report(self.out, report)
        del self._signatures
        self._signature_file.unlink(missing_ok=True)
        return report

    # ------------------------------------------------------------------------------------------------ row by row

    def _note(self, number: int, texts: RowTexts) -> None:
        self.row_kind = self.row_kind or _kind_of(texts.row)
        for found in detect(texts):
            self._add(found.kind, number)
        self._row_hashes.append(hash_of_row(texts.row))
        self._prompts.append(hash_of(texts.prompt))
        self._answers.append(hash_of(texts.answer))
        self._lengths.append(len(texts.answer))
        if "chosen" in texts.row:
            self._rejected.append(hash_of(texts.rejected))
            self._rejected_lengths.append(len(texts.rejected))
        self._note_language(texts)

    def _note_language(self, texts: RowTexts) -> None:
        shown = f"{texts.asked[:_LANGUAGE_CHARACTERS]}\n{texts.answer[:_LANGUAGE_CHARACTERS]}"
        language = language_of(texts.answer if "text" in texts.row else shown)
        if language not in self._languages:
            self._languages.append(language)
        self._language_of_row.append(min(self._languages.index(language), 255))

    def _compare(
        self,
        compared: EvaluationRows,
        first: int,
        batch: list[RowTexts],
        words: list[list[str]],
        whole: near.Signatures,
        questions: near.Signatures,
    ) -> None:
        runs = [run_hashes(spoken) for spoken in words]
        owners = np.repeat(np.arange(len(batch)), [len(one) for one in runs])
        matches = compared.rows_with_run_of(np.array([run for one in runs for run in one], dtype=np.uint64))
        with_run = dict(zip(owners[matches >= 0].tolist()[::-1], matches[matches >= 0].tolist()[::-1], strict=True))
        alike = np.maximum(compared.rows_like(whole), compared.rows_like(questions)).tolist()
        for index, texts in enumerate(batch):
            question = question_hash(texts)
            if question is not None and question in compared.questions:
                self._add("overlap_questions", first + index, compared.questions[question])
            elif index in with_run:
                self._add("overlap_runs", first + index, with_run[index])
            elif alike[index] >= 0:
                self._add("overlap_near", first + index, alike[index])

    def _add(self, kind: str, row: int, partner: int | None = None) -> None:
        self._rows.setdefault(kind, array("L")).append(row)
        if partner is not None:
            self._partners.setdefault(kind, array("q")).append(partner)

    def _add_all(self, kind: str, rows: Numbers, partners: Numbers | None = None) -> None:
        if len(rows):
            self._rows[kind] = array("L", rows.tolist())
        if len(rows) and partners is not None:
            self._partners[kind] = array("q", partners.tolist())

    # --------------------------------------------------------------------------------------------- all rows at once

    def _find_copies(self, on_step: Callable[[str], None]) -> None:
        first_same = first_equal(np.array(self._row_hashes, dtype=np.uint64))
        numbers = np.arange(self.num_read)
        copies = numbers[first_same != numbers]
        self._add_all("exact_duplicates", copies, first_same[copies])
        first_alike = near.first_alike(
            self._signatures,
            self.similarity,
            lambda band: on_step(f"Finding near copies, {band / near.NUM_BANDS:.0%}"),
        )
        is_copy = first_same != numbers
        near_copies = numbers[(first_alike != numbers) & ~is_copy]
        self._add_all("near_duplicates", near_copies, first_alike[near_copies])
        if self.row_kind == "instruction":
            self._find_same_prompts(is_copy)

    def _find_same_prompts(self, is_copy: npt.NDArray[np.bool_]) -> None:
        prompts, answers = (np.array(hashes, dtype=np.uint64) for hashes in (self._prompts, self._answers))
        first = first_equal(prompts)
        numbers = np.arange(self.num_read)
        again = numbers[(first != numbers) & ~is_copy & (prompts != 0) & (answers != answers[first])]
        self._add_all("same_prompt", again, first[again])

    def _find_contradictions(self) -> None:
        hashes = [np.array(one, dtype=np.uint64) for one in (self._prompts, self._answers, self._rejected)]
        self._add_all("contradictions", *contradicting_rows(*hashes))

    def _find_outliers(self) -> None:
        """By the logarithm of the characters: lengths are skewed, and their logarithms nearly are not."""
        if self.num_read < LEAST_ROWS_FOR_OUTLIERS:
            return
        z = robust_z(np.log1p(np.array(self._lengths, dtype=np.float64)))
        self._add_all("too_long", np.flatnonzero(z > OUTLIER_Z))
        empty = {*self._rows.get("empty_answers", ()), *self._rows.get("empty_pairs", ())}
        short = np.array([row for row in np.flatnonzero(z < -OUTLIER_Z).tolist() if row not in empty], dtype=np.int64)
        self._add_all("too_short", short)

    def _find_languages(self) -> Counter[str]:
        codes = np.array(self._language_of_row, dtype=np.uint8)
        counts = Counter({language: int(np.sum(codes == place)) for place, language in enumerate(self._languages)})
        known = self.num_read - counts[UNKNOWN]
        rare = [
            place
            for place, language in enumerate(self._languages)
            if language != UNKNOWN and counts[language] < RARE_LANGUAGE * known
        ]
        self._add_all("other_language", np.flatnonzero(np.isin(codes, rare)))
        return counts

    def _language_words(self, languages: Counter[str]) -> dict[str, str]:
        known = [(code, count) for code, count in languages.most_common() if code != UNKNOWN]
        if not known or "other_language" not in self._rows:
            return {}
        total = sum(count for _, count in known)
        main = " and ".join(language_name(code) for code, count in known if count >= RARE_LANGUAGE * total)
        rest = [f"{language_name(code)} ({count})" for code, count in known if count < RARE_LANGUAGE * total]
        more = f" and {len(rest) - 4} more" if len(rest) > 4 else ""
        count = len(self._rows["other_language"])
        return {
            "other_language": f"The rows are in {main}; {count} {'is' if count == 1 else 'are'} in another language: "
            f"{', '.join(rest[:4])}{more}."
        }

    def _find_length_bias(self) -> dict[str, str]:
        chosen, rejected = (np.array(one, dtype=np.int64) for one in (self._lengths, self._rejected_lengths))
        rows = balancing_rows(chosen, rejected)
        self._add_all("length_bias", rows)
        return {"length_bias": length_bias_words(chosen, rejected, len(rows))} if len(rows) else {}

    # ------------------------------------------------------------------------------------------------------ the report

    def _checked(self) -> list[str]:
        kinds = [kind for kind, told in KINDS.items() if self.row_kind in told.row_kinds]
        return [kind for kind in kinds if self.compared is not None or not kind.startswith("overlap_")]

    def _findings(self, sentences: dict[str, str]) -> list[Finding]:
        found = [self._finding(kind, len(rows), sentences.get(kind)) for kind, rows in self._rows.items()]
        return sorted(found, key=lambda one: (SEVERITIES.index(one.severity), -one.count, list(KINDS).index(one.kind)))

    def _finding(self, kind: str, count: int, sentence: str | None) -> Finding:
        plain, advice = words_for(kind, count)
        if kind == "length_bias":
            advice = LENGTH_BIAS_ADVICE
        severity: Severity = KINDS[kind].severity
        share = count / self.num_read
        return Finding(
            kind=kind, severity=severity, sentence=sentence or plain, advice=advice, count=count, share=share
        )

    def _write_rows(self) -> None:
        for kind, rows in self._rows.items():
            partners, sets = self._partners.get(kind), None
            beside = np.array(partners, dtype=np.int64) if partners is not None else None
            if beside is not None and kind.startswith("overlap_") and self.compared is not None:
                places = [self.compared.places[index] for index in beside.tolist()]
                beside = np.array([place.row for place in places], dtype=np.int64)
                sets = np.array([place.set for place in places], dtype=np.int64)
            write_rows(self.out, kind, np.array(rows, dtype=np.int64), beside, sets)


def evaluation_rows(sets: Iterable[Iterable[Row]], *, similarity: float) -> EvaluationRows:
    """Everything that rows are compared with, read once."""
    compared = EvaluationRows(similarity)
    for number, rows in enumerate(sets):
        for index, row in enumerate(rows):
            compared.add(RowTexts(row), Place(number, index))
    compared.close()
    return compared


def first_equal(hashes: npt.NDArray[np.uint64]) -> Numbers:
    """For each place the first one that has the same hash."""
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    return np.asarray(first[inverse], dtype=np.int64)


def _kind_of(row: dict[str, Any]) -> str:
    return kind_of(row) or ""


def _sizes(compared: EvaluationRows | None) -> list[int]:
    if compared is None:
        return []
    counts = Counter(place.set for place in compared.places)
    return [counts[number] for number in range(max(counts, default=-1) + 1)]

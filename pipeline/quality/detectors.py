"""Detectors: what can be told from one row alone, and where in it, so that a page marks what the inspection found."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from pipeline.quality import phrases
from pipeline.quality.personal import find_personal
from pipeline.quality.phrases import Span
from pipeline.quality.statistics import jaccard
from pipeline.quality.texts import Part, Path, RowTexts, Voice, shingles_of, words_of

Marks = dict[Path, list[Span]]
"""Stretches of a row's texts, by where the text stands."""

NEARLY_IDENTICAL = 0.9
PERSONAL_KINDS = ("secrets", "cards", "ibans", "emails", "phones", "ips")
_WRITTEN: tuple[Voice, ...] = ("answer", "text")


@dataclass(frozen=True)
class Found:
    """One kind of finding in one row."""

    kind: str
    marks: Marks


def detect(texts: RowTexts) -> list[Found]:
    """Everything that is wrong with a row by itself, each kind once."""
    found = [*_personal(texts), *(Found(kind, look(texts)) for kind, look in _LOOKS.items())]
    found = [one for one in found if one.marks]
    found += [Found(kind, {}) for kind, holds in _PAIR_CHECKS.items() if "chosen" in texts.row and holds(texts)]
    if "chosen" not in texts.row and _has_no_answer(texts):
        found.append(Found("empty_answers", {}))
    return found


def marks_of(texts: RowTexts, kind: str) -> Marks:
    """Where one kind was found; empty for a kind that is not a matter of single stretches."""
    return next((found.marks for found in detect(texts) if found.kind == kind), {})


def personal_marks(texts: RowTexts) -> Marks:
    """All personal data and secrets of a row, to be hidden when it is shown."""
    return {part.path: spans for part in texts.parts if (spans := [(m.start, m.end) for m in find_personal(part.text)])}


def _personal(texts: RowTexts) -> list[Found]:
    by_kind: dict[str, Marks] = {}
    for part in texts.parts:
        for match in find_personal(part.text):
            by_kind.setdefault(match.kind, {}).setdefault(part.path, []).append((match.start, match.end))
    return [Found(kind, marks) for kind, marks in by_kind.items()]


def _marks(parts: Iterable[Part], look: Callable[[str], list[Span]]) -> Marks:
    return {part.path: spans for part in parts if (spans := look(part.text))}


def _spoken_by(texts: RowTexts, *voices: Voice) -> list[Part]:
    return [part for part in texts.parts if part.voice in voices]


def _markup(texts: RowTexts) -> Marks:
    if phrases.is_about_markup(texts.asked):
        return {}
    return _marks(_spoken_by(texts, *_WRITTEN), phrases.markup_in)


def _repeated_turns(texts: RowTexts) -> Marks:
    """Turns that say word for word what an earlier turn of the same conversation said, and more than a few words."""
    if "messages" not in texts.row:
        return {}
    seen: set[str] = set()
    marks: Marks = {}
    for part in _spoken_by(texts, "asked", "answer"):
        said = part.text.strip()
        if said in seen and len(words_of(said)) > 3:
            marks[part.path] = [(0, len(part.text))]
        seen.add(said)
    return marks


_LOOKS: dict[str, Callable[[RowTexts], Marks]] = {
    "refusals": lambda texts: _marks(_spoken_by(texts, "answer"), phrases.refusal_in),
    "stock_phrases": lambda texts: _marks(_spoken_by(texts, "answer"), phrases.stock_phrases_in),
    "template_marks": lambda texts: _marks(texts.parts, phrases.template_marks_in),
    "markup": _markup,
    "garbled": lambda texts: _marks(texts.parts, phrases.garbled_in),
    "repeated_turns": _repeated_turns,
}


# ----------------------------------------------------------------------------------------- answers, and pairs of them


def _has_no_answer(texts: RowTexts) -> bool:
    if "text" in texts.row:
        return phrases.says_nothing(texts.answer)
    said = texts.row["messages"] if "messages" in texts.row else texts.row["completion"]
    last = next((message for message in reversed(said) if message["role"] == "assistant"), None)
    return last is None or (not last.get("tool_calls") and phrases.says_nothing(last.get("content") or ""))


def _is_empty_pair(texts: RowTexts) -> bool:
    calls = any(message.get("tool_calls") for side in ("chosen", "rejected") for message in texts.row[side])
    return not calls and any(phrases.says_nothing(side) for side in (texts.answer, texts.rejected))


def _is_identical_pair(texts: RowTexts) -> bool:
    return bool(texts.row["chosen"] == texts.row["rejected"] or _plain(texts.answer) == _plain(texts.rejected) != "")


def _is_nearly_identical_pair(texts: RowTexts) -> bool:
    """Alike in 0.9 of their runs of three words, and not the same."""
    if _is_identical_pair(texts) or _is_empty_pair(texts):
        return False
    first, second = words_of(texts.answer), words_of(texts.rejected)
    if min(len(first), len(second)) < 0.8 * max(len(first), len(second)):
        return False
    return jaccard(shingles_of(first, 3), shingles_of(second, 3)) >= NEARLY_IDENTICAL


def _plain(text: str) -> str:
    return " ".join(text.split())


_PAIR_CHECKS: dict[str, Callable[[RowTexts], bool]] = {
    "empty_pairs": _is_empty_pair,
    "identical_pairs": _is_identical_pair,
    "near_identical_pairs": _is_nearly_identical_pair,
}

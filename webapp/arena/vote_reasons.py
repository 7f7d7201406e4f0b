"""Reasons: what may be said of a vote once it is given; nothing of it has to be, and each part is kept at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from pipeline.errors import HoneError
from store import votes
from store.database import writing
from store.schema import Vote
from webapp.people import current_person
from webapp.shell import error_block, html

VOTES = (("a", "A is better"), ("both_good", "Both good"), ("both_bad", "Both bad"), ("b", "B is better"))
"""The outcomes in the order of the buttons, whose keys are 1, 2, 3 and 4."""
STRENGTHS = (("Slightly", 1), ("Clearly", 2))

Updates = dict[Any, Any]


@dataclass(frozen=True)
class WhyRow:
    """The row under a verdict."""

    box: gr.Column
    strength: gr.Radio
    reasons: gr.CheckboxGroup
    comment: gr.Textbox
    again: gr.Dropdown
    saved: gr.HTML

    @property
    def all(self) -> list[Any]:
        return [self.box, self.strength, self.reasons, self.comment, self.again, self.saved]


def draw() -> WhyRow:
    with gr.Column(visible=False, elem_classes="h-arena-why") as box:
        with gr.Row(elem_classes="h-arena-why-row"):
            strength = gr.Radio(list(STRENGTHS), label="How much better", min_width=240, scale=0)
            reasons = gr.CheckboxGroup(list(votes.REASONS), label="What made the difference", min_width=240, scale=1)
        with gr.Row(elem_classes="h-arena-why-row"):
            comment = gr.Textbox(
                label="In your own words", max_lines=4, max_length=votes.LONGEST_COMMENT, min_width=240, scale=1
            )
            again = gr.Dropdown(
                [("the same", ""), *((words, outcome) for outcome, words in VOTES)],
                value="",
                label="Now that I see the names, I would say",
                min_width=320,
                scale=0,
                filterable=False,
            )
        saved = html(elem_classes="h-quiet h-small", min_height=20)
    return WhyRow(box, strength, reasons, comment, again, saved)


def connect(why: WhyRow, battle_id: gr.Textbox) -> None:
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}

    def described(battle_id: str, strength: int | None, reasons: list[str], comment: str, request: gr.Request) -> str:
        return _described(battle_id, strength, reasons, comment, request)

    def said_otherwise(battle_id: str, outcome: str, request: gr.Request) -> str:
        return _said_otherwise(battle_id, outcome, request)

    said = [battle_id, why.strength, why.reasons, why.comment]
    gr.on(
        [why.strength.input, why.reasons.input, why.comment.blur, why.comment.submit],
        described,
        inputs=said,
        outputs=[why.saved],
        **quick,
    )
    why.again.input(said_otherwise, inputs=[battle_id, why.again], outputs=[why.saved], **quick)


def shown(why: WhyRow, vote: Vote | None) -> Updates:
    """What was said of a vote so far, to be added to."""
    if vote is None:
        return {why.box: gr.update(visible=False)}
    return {
        why.box: gr.update(visible=True),
        why.strength: gr.update(value=vote.strength, visible=vote.outcome in ("a", "b")),
        why.reasons: gr.update(value=vote.reasons),
        why.comment: gr.update(value=vote.comment or ""),
        why.again: gr.update(value=""),
        why.saved: "",
    }


def _described(battle_id: str, strength: int | None, reasons: list[str], comment: str, request: gr.Request) -> str:
    """Keep what was said of a vote."""
    try:
        person = current_person(request)
        with writing() as session:
            votes.describe(session, battle_id, person.id, strength=strength, reasons=reasons, comment=comment)
    except HoneError as error:
        return error_block(error)
    return "Kept."


def _said_otherwise(battle_id: str, outcome: str, request: gr.Request) -> str:
    """Keep what somebody says who has seen the names; the vote stays."""
    if not outcome:
        return ""
    try:
        person = current_person(request)
        with writing() as session:
            votes.vote(session, battle_id, person.id, outcome)
    except HoneError as error:
        return error_block(error)
    return "Kept beside your vote, but not counted: you had seen the names by then."

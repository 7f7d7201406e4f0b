"""Views of the playground's sheets: what opens over the page, as HTML, everything escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from store.datasets import Added
from store.schema import Answer, Turn
from webapp.formatting import counted
from webapp.playground.sampling_form import Example
from webapp.shell import link_button
from webapp.word_differences import Differences

_TAGS = {"same": "span", "removed": "del", "added": "ins"}


def sheet(title: str, body: str) -> str:
    return (
        f'<div class="h-card-head"><h2 class="h-h2">{escape(title)}</h2>'
        '<button type="button" class="h-button h-slim" data-close>Close</button></div>'
        f'<div class="h-fault" role="alert" hidden></div><div class="h-stack">{body}</div>'
    )


def edit_sheet(conversation_id: str, turn: Turn) -> str:
    """An earlier prompt, to be asked otherwise in a branch."""
    body = (
        f'<form data-post="/api/playground/{escape(conversation_id)}/turns/{turn.number}/edit">'
        '<p class="h-quiet h-small">The conversation so far stays as it is. What you send begins a branch that '
        f"shares what was said before prompt {turn.number}.</p>"
        '<textarea class="h-input" name="prompt" rows="6" aria-label="Prompt" required>'
        f"{_in_area(turn.prompt)}</textarea>"
        '<div class="h-line"><button class="h-button h-primary">Send as a branch</button></div></form>'
    )
    return sheet(f"Edit prompt {turn.number}", body)


def tokens_sheet(model_name: str, prompt: str, answer: str, *, turn: int, column: int) -> str:
    written = f'<section><h3 class="h-h2">The answer, token by token</h3>{answer}</section>' if answer else ""
    body = f'{written}<section><h3 class="h-h2">The prompt as the model sees it</h3>{prompt}</section>'
    framed = f'<div class="h-stack" data-turn="{turn}" data-column="{column}">{body}</div>'
    return sheet(f"Tokens of {model_name}", framed)


def differences_sheet(conversation_id: str, turn: Turn, first: Answer, second: Answer, differences: Differences) -> str:
    """Two answers in one text: struck through what only the first has, underlined what only the second has."""
    chooser = (
        f'<form class="h-line" data-sheet="/api/playground/{escape(conversation_id)}/turns/{turn.number}/differences">'
        f"{_column_select('a', 'From', turn, first.column)}{_column_select('b', 'To', turn, second.column)}</form>"
    )
    text = "".join(f"<{_TAGS[one.kind]}>{escape(one.text)}</{_TAGS[one.kind]}>" for one in differences.stretches)
    cut = " Only the beginnings are compared: the answers are very long." if differences.is_cut else ""
    body = (
        f'{chooser}<p class="h-quiet h-small">{100 * differences.share_same:.0f} % of the words are the same. '
        f"<del>Struck through</del>: only in {escape(first.model.name)}. <ins>Underlined</ins>: only in "
        f'{escape(second.model.name)}.{cut}</p><div class="h-differences">{text or "Both answers are empty."}</div>'
    )
    return sheet("Differences", body)


def keep_sheet(conversation_id: str, turn: int, answer: Answer, names_by_kind: Sequence[tuple[str, str]]) -> str:
    """An answer to be made better and kept as a row to train on."""
    path = f"/api/playground/{escape(conversation_id)}/turns/{turn}/columns/{answer.column}/keep"
    body = (
        f'<form data-post="{path}">'
        f'<label class="h-field">The answer as it should be<textarea class="h-input" name="answer" rows="10" required>'
        f"{_in_area(answer.text)}</textarea></label>"
        '<fieldset class="h-pg-kinds"><legend class="h-quiet h-small">Keep it as</legend>'
        '<label><input type="radio" name="kind" value="instruction" checked>'
        " an instruction row, to fine-tune on</label>"
        '<label><input type="radio" name="kind" value="preference"> a preference pair: your answer over the model’s'
        "</label></fieldset>"
        f"{_dataset_field(names_by_kind, 'instruction')}"
        '<div class="h-line"><button class="h-button h-primary">Add to dataset</button></div></form>'
    )
    return sheet(f"Edit and keep the answer of {answer.model.name}", body)


def prefer_sheet(conversation_id: str, turn: Turn, names_by_kind: Sequence[tuple[str, str]]) -> str:
    pairs = [(name, kind) for name, kind in names_by_kind if kind == "preference"]
    path = f"/api/playground/{escape(conversation_id)}/turns/{turn.number}/prefer"
    columns = _column_select("better", "Better", turn, 0) + _column_select("worse", "Worse", turn, 1)
    body = (
        f'<form data-post="{path}" data-numbers="better worse"><div class="h-line">{columns}</div>'
        f"{_dataset_field(pairs, 'preference')}"
        '<div class="h-line"><button class="h-button h-primary">Add preference pair</button></div></form>'
    )
    return sheet("Which answer is better", body)


def kept_note(added: Added) -> str:
    version = added.version
    said = "Added to" if added.is_new else "These very rows are kept already in"
    link = link_button("Open the dataset", f"/dataset?id={version.id}", slim=True)
    return (
        f'<div class="h-note"><p>{said} <b>{escape(version.dataset.name)}</b>: version {version.number} has '
        f'{counted(version.num_rows, f"{version.kind} row")}.</p></div><div class="h-line">{link}'
        '<button type="button" class="h-button h-slim" data-close>Done</button></div>'
    )


def example_editor(example: Example) -> str:
    """One example in the page's editor."""
    fields = "".join(
        f'<textarea class="h-input" rows="2" data-example="{name}" aria-label="Example {name}" placeholder="{words}">'
        f"{_in_area(text)}</textarea>"
        for name, words, text in (("prompt", "Prompt", example.prompt), ("answer", "Answer", example.answer))
    )
    return f'<li>{fields}<button type="button" data-act="drop-example" aria-label="Remove example">Remove</button></li>'


def _in_area(text: str) -> str:
    """A text for a <textarea>, whose parser drops one line break at the beginning."""
    return f"\n{escape(text)}"


def _column_select(name: str, words: str, turn: Turn, present: int) -> str:
    options = "".join(
        f'<option value="{one.column}"{" selected" if one.column == present else ""}>'
        f"{one.column + 1} · {escape(one.model.name)}</option>"
        for one in turn.answers
    )
    return f'<label class="h-field">{words}<select class="h-input" name="{name}">{options}</select></label>'


def _dataset_field(names_by_kind: Sequence[tuple[str, str]], kind: str) -> str:
    """A dataset's name, new or known; the names on offer are those of the kind that is chosen."""
    options = "".join(
        f'<option value="{escape(name)}" data-kind="{of}"{"" if of == kind else " disabled"}></option>'
        for name, of in names_by_kind
    )
    return (
        '<label class="h-field">Dataset<input class="h-input" name="dataset" list="h-pg-datasets" maxlength="80" '
        'placeholder="An existing one, or a new name" required autocomplete="off"></label>'
        f'<datalist id="h-pg-datasets">{options}</datalist>'
        '<p class="h-quiet h-small">The dataset gets a new version with all its rows and this one.</p>'
    )

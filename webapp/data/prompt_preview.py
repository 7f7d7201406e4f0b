"""Making: what a job that makes rows will ask of a model, shown before it is started."""

from __future__ import annotations

from html import escape
from typing import Any

from sqlalchemy.orm import Session

from pipeline.making.drafts import FromDocuments, FromSeeds
from pipeline.making.judging import judge_prompt
from pipeline.making.templates import OPENING
from pipeline.prompt_rows import prompt_of
from pipeline.recipes.generate import GenerateSpec
from pipeline.recipes.pairs import PairsSpec
from store import datasets
from store.schema import DatasetVersion
from webapp.data.views_rows import conversation
from webapp.formatting import counted, number

NUM_ROWS_LOOKED_AT = 200
"""An example is made of the first rows alone, so that it is there at once."""
_FIRST, _SECOND = "(the one answer)", "(the other answer)"


def outlook_of(session: Session, spec: GenerateSpec | PairsSpec) -> str:
    """What the job will do, in a sentence, and an example of what a model is asked.

    Raises:
        NoSuchDataset: if its dataset is not there.
    """
    version = datasets.get_version(session, int(spec.dataset.removeprefix("dataset:")))
    rows = datasets.rows_of(version).read(0, NUM_ROWS_LOOKED_AT)
    if isinstance(spec, GenerateSpec):
        return _of_writing(spec, version, rows)
    return _of_pairs(spec, version, rows)


def _of_writing(spec: GenerateSpec, version: DatasetVersion, rows: list[dict[str, Any]]) -> str:
    if version.kind == "text":
        maker: FromDocuments | FromSeeds = FromDocuments(
            rows, spec.document_template, most_words=spec.passage_words, seed=spec.seed
        )
    else:
        maker = FromSeeds(rows, spec.seed_template, num_examples=spec.num_examples, seed=spec.seed)
        if not maker.tasks:
            return _sentence("None of the first rows is a question with an answer: choose other seed tasks.")
    words = (
        f"{counted(spec.num_rows, 'row')} wanted; it gives up after {number(spec.num_rows * spec.max_tries)} tries. "
        f"A model whose weights are here is made to begin with “{OPENING}”."
    )
    return _sentence(words) + _example("What it is asked first", maker.draft(0).text)


def _of_pairs(spec: PairsSpec, version: DatasetVersion, rows: list[dict[str, Any]]) -> str:
    prompt = next((asked for row in rows if (asked := prompt_of(row))), None)
    if prompt is None:
        return _sentence("None of the first rows asks anything: choose a dataset with questions.")
    num_prompts = min(spec.max_prompts, version.num_rows)
    num_orders = spec.num_answers * (spec.num_answers - 1)
    words = f"{counted(num_prompts, 'prompt')}, {counted(num_prompts * spec.num_answers, 'answer')}"
    if spec.ranked_by == "implicit_reward":
        return _sentence(f"{words}, each read by two models.") + (
            f'<h3 class="h-h2">The first prompt</h3>{conversation(prompt)}'
        )
    asked = judge_prompt(spec.judge_template, prompt, _FIRST, _SECOND)[0]["content"]
    words += f", and at most {counted(num_prompts * num_orders, 'comparison')}: every two answers in both orders."
    return _sentence(words) + _example("What the judge is asked", asked)


def _sentence(words: str) -> str:
    return f'<p class="h-make-outlook">{escape(words)}</p>'


def _example(title: str, text: str) -> str:
    asked = f'<pre class="h-code h-wrap h-make-asked" tabindex="0">{escape(text)}</pre>'
    return f'<h3 class="h-h2">{escape(title)}</h3>{asked}'

"""Start points: the models and datasets that a form offers, the newest first, and what is said where none is there."""

from __future__ import annotations

from sqlalchemy.orm import Session

from pipeline.recipes import get_recipe
from store import datasets, jobs, models
from store.schema import ACTIVE_STATES
from webapp.formatting import compact, counted
from webapp.forms import Choices, DatasetChoice
from webapp.shell import empty_state, link_button


def read_choices(session: Session) -> Choices:
    return Choices(
        models=[*_models_there(session), *_models_to_come(session)],
        datasets=[
            DatasetChoice(
                f"{version.dataset.name} v{version.number} · {counted(version.num_rows, f'{version.kind} row')}",
                f"dataset:{version.id}",
                version.kind,
            )
            for version in datasets.list_versions(session)
        ],
        elsewhere=[
            (f"{model.name} · endpoint", f"model:{model.id}")
            for model in reversed(models.list_models(session))
            if model.endpoint_id is not None
        ],
    )


def _models_there(session: Session) -> list[tuple[str, str]]:
    return [
        (" · ".join(filter(None, [model.name, model.kind, _parameters(model.num_parameters)])), f"model:{model.id}")
        for model in reversed(models.list_own_models(session))
    ]


def _models_to_come(session: Session) -> list[tuple[str, str]]:
    """The models that jobs of the queue will have made: a job that starts from one waits for it."""
    active, _ = jobs.list_jobs(session, states=ACTIVE_STATES, limit=50)
    return [
        (f"{job.name} · when it is made", f"job:{job.id}")
        for job in active
        if get_recipe(job.recipe).produces == "model"
    ]


def no_model_yet(session: Session, otherwise: str) -> str:
    """What stands where a model is needed and none is there: the first one on its way, or an invitation to make it."""
    training, _ = jobs.list_jobs(session, states=ACTIVE_STATES, recipe="pretrain", limit=1)
    if not training:
        return empty_state(otherwise, link_button("Pre-train a base", "/train?recipe=pretrain", "primary"))
    return empty_state(
        "The first base model is being trained; it will be here when it is ready, in a minute or two.",
        link_button("See how far it is", f"/job?id={training[0].id}", "primary"),
    )


def _parameters(count: int | None) -> str:
    return f"{compact(count)} parameters" if count else ""

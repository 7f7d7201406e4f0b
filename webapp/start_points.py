"""Start points: the models and datasets that a form offers, the newest first."""

from __future__ import annotations

from sqlalchemy.orm import Session

from store import datasets, models
from webapp.formatting import compact, counted
from webapp.forms import Choices, DatasetChoice


def read_choices(session: Session) -> Choices:
    return Choices(
        models=[
            (" · ".join(filter(None, [model.name, model.kind, _parameters(model.num_parameters)])), f"model:{model.id}")
            for model in reversed(models.list_models(session))
        ],
        datasets=[
            DatasetChoice(
                f"{version.dataset.name} v{version.number} · {counted(version.num_rows, f'{version.kind} row')}",
                f"dataset:{version.id}",
                version.kind,
            )
            for version in datasets.list_versions(session)
        ],
    )


def _parameters(count: int | None) -> str:
    return f"{compact(count)} parameters" if count else ""

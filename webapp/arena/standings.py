"""Standings: every rated model's points against the oldest rated model, for the pages that show a rating in passing."""

from __future__ import annotations

from sqlalchemy.orm import Session

from store import votes
from webapp.views_models import Rating


def read_ratings(session: Session) -> dict[int, Rating]:
    """Ratings by model id, the strongest first; empty before the first vote that counts."""
    fitted = votes.standings(session)
    if not fitted.models:
        return {}
    reference = min(fitted.models)
    name = votes.names_of(session, [reference])[reference]
    return {
        standing.model: Rating(standing.points, standing.half_width, standing.votes, name)
        for standing in fitted.board(reference)
    }

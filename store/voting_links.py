"""Voting links: public addresses where people vote without an account, as long as nobody has revoked them."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from pipeline.errors import BadSpec, HoneError
from store import datasets, models, users
from store.drawing import Course
from store.schema import Person, Vote, VotingLink, utc_now

LONGEST_NAME = 80
MOST_VOTES_AN_HOUR = 3_600
VOTERS_WORTH = 20
"""A link takes as many votes an hour as so many of its voters may give."""
MOST_NEW_VOTERS_AN_HOUR = 200

_HOUR = timedelta(hours=1)


class NoLink(HoneError):
    """There is no such link, or no longer; which of the two is not said."""

    kind = "no_link"

    def __init__(self) -> None:
        super().__init__("This voting link does not exist, or has ended.", "Ask whoever sent it for a new one.")


class TooManyVotes(HoneError):
    kind = "too_many_votes"


@dataclass(frozen=True)
class LinkUse:
    """A link, and what has come by it."""

    link: VotingLink
    num_voters: int
    num_votes: int


def create(
    session: Session,
    name: str,
    *,
    prompt_version_id: int | None = None,
    model_ids: Sequence[int] = (),
    votes_an_hour: int = 120,
    person_id: int | None = None,
) -> tuple[VotingLink, str]:
    """A new link, and its token, which is kept nowhere: it is shown this once.

    Raises:
        BadSpec: if the name or the limit cannot be used, or it names one model alone.
        NoSuchDataset, BadModel: if the prompt set or a model is not there.
    """
    clean = " ".join(name.split())
    if not clean or len(clean) > LONGEST_NAME:
        raise BadSpec(f"A name of {len(clean)} characters was received.", f"Choose one of 1 to {LONGEST_NAME}.")
    if not 1 <= votes_an_hour <= MOST_VOTES_AN_HOUR:
        raise BadSpec(f"{votes_an_hour} votes an hour were received.", f"Choose 1 to {MOST_VOTES_AN_HOUR:,}.")
    if len(model_ids) == 1:
        raise BadSpec("One model alone was received.", "Choose at least two, or none for all.")
    for model_id in model_ids:
        models.get_model(session, model_id)
    if prompt_version_id is not None:
        datasets.get_version(session, prompt_version_id)
    token = secrets.token_urlsafe(24)
    link = VotingLink(
        token_sha256=_digest(token),
        name=clean,
        prompt_version_id=prompt_version_id,
        model_ids=sorted(model_ids),
        votes_an_hour=votes_an_hour,
        created_by_id=person_id,
    )
    session.add(link)
    session.flush()
    return link, token


def find(session: Session, token: str) -> VotingLink:
    """Raises:
    NoLink: if no link has this token, or it was revoked.
    """
    link = session.scalar(select(VotingLink).where(VotingLink.token_sha256 == _digest(token)))
    if link is None or link.revoked_at is not None:
        raise NoLink
    return link


def revoke(session: Session, link_id: int) -> VotingLink:
    """End a link at once; the votes that came by it stay. Raises NoLink where there is none."""
    link = session.get(VotingLink, link_id)
    if link is None:
        raise NoLink
    link.revoked_at = link.revoked_at or utc_now()
    return link


def list_links(session: Session) -> list[LinkUse]:
    """Every link that was ever made, the newest first."""
    has_link = Person.link_id.is_not(None)
    people = session.execute(select(Person.link_id, func.count()).where(has_link).group_by(Person.link_id))
    query = select(Person.link_id, func.count()).join(Vote, Vote.person_id == Person.id).where(has_link)
    votes = session.execute(query.group_by(Person.link_id))
    voters, given = ({row[0]: row[1] for row in rows} for rows in (people, votes))
    links = session.scalars(select(VotingLink).order_by(VotingLink.id.desc()))
    return [LinkUse(link, voters.get(link.id, 0), given.get(link.id, 0)) for link in links]


def course_of(link: VotingLink) -> Course:
    return Course(prompt_version_id=link.prompt_version_id, model_ids=tuple(link.model_ids))


def find_voter(session: Session, link: VotingLink, token: str) -> Person | None:
    """Whoever holds the voter's cookie and came by this link."""
    person = users.find_person(session, token)
    return person if person is not None and person.link_id == link.id else None


def welcome_voter(session: Session, link: VotingLink, token: str) -> Person:
    """The holder of the cookie, as a voter of this link.

    Raises:
        TooManyVotes: if more people have come by the link within an hour than it is made for.
    """
    known = find_voter(session, link, token)
    if known is not None:
        return known
    if users.find_person(session, token) is not None:
        raise NoLink  # somebody of the team, or a voter of another link, is made nobody else
    since = utc_now() - _HOUR
    newcomers = select(func.count()).where(Person.link_id == link.id, Person.created_at > since)
    if (session.scalar(newcomers) or 0) >= MOST_NEW_VOTERS_AN_HOUR:
        raise TooManyVotes("More people have come by this link than it is made for.", "Come back in an hour.")
    person = users.get_or_add_person(session, token)
    person.link_id = link.id
    person.name = f"Voter {person.id}"
    return person


def check_may_vote(session: Session, link: VotingLink, person_id: int) -> None:
    """Hold a voter, and all voters of a link together, to what they may give in an hour.

    Raises:
        TooManyVotes: if this vote or battle would be one too many.
    """
    since = utc_now() - _HOUR
    own = select(func.count()).where(Vote.person_id == person_id, Vote.created_at > since)
    if (session.scalar(own) or 0) >= link.votes_an_hour:
        raise TooManyVotes(
            f"You have given {link.votes_an_hour:,} votes within an hour, which is the most.", "Come back later."
        )
    all_votes = select(func.count()).join(Person, Person.id == Vote.person_id).select_from(Vote)
    by_link = all_votes.where(Person.link_id == link.id, Vote.created_at > since)
    if (session.scalar(by_link) or 0) >= VOTERS_WORTH * link.votes_an_hour:
        raise TooManyVotes("This link has brought as many votes within an hour as it may.", "Come back later.")


def num_votes_of(session: Session, person_id: int) -> int:
    """How many battles somebody has judged, without those that were skipped."""
    query = select(func.count()).where(Vote.person_id == person_id, Vote.outcome != "skip")
    return session.scalar(query) or 0


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

"""People: who votes, chats and launches. A person is whoever holds a random cookie; nobody signs up."""

from __future__ import annotations

import hashlib
import secrets

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.errors import BadSpec
from store.schema import Person

LONGEST_NAME = 80


def new_token() -> str:
    """A cookie value that cannot be guessed (256 bits)."""
    return secrets.token_urlsafe(32)


def find_person(session: Session, token: str) -> Person | None:
    return session.scalar(select(Person).where(Person.token_sha256 == _digest(token)))


def get_or_add_person(session: Session, token: str) -> Person:
    """The holder of a cookie, welcomed on first sight as "Guest <number>"."""
    person = find_person(session, token)
    if person is None:
        person = Person(token_sha256=_digest(token), name="Guest")
        session.add(person)
        session.flush()
        person.name = f"Guest {person.id}"
    return person


def rename_person(session: Session, person_id: int, name: str) -> Person:
    """Change the name that others see.

    Raises:
        BadSpec: if the name is empty or too long.
    """
    clean = " ".join(name.split())
    if not clean or len(clean) > LONGEST_NAME:
        raise BadSpec(
            f"A name of {len(clean)} characters was received.", f"Choose one of 1 to {LONGEST_NAME} characters."
        )
    person = session.get_one(Person, person_id)
    person.name = clean
    return person


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()

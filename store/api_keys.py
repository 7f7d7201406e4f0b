"""API keys: what programs show to this installation's own inference server. Only their SHA-256 is kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from pipeline.errors import HoneError
from store.schema import ApiKey, utc_now
from store.secret import derived_key

LONGEST_NAME = 80
PREFIX = "hone-"
BETWEEN_NOTES_OF_USE = timedelta(minutes=1)


class BadKey(HoneError):
    kind = "bad_key"


def create(session: Session, *, name: str, person_id: int | None = None) -> tuple[ApiKey, str]:
    """A new key's row, and the key itself, which nobody can find out again.

    Raises:
        BadKey: if the name is empty or too long.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME:
        raise BadKey(
            f"A key's name has 1 to {LONGEST_NAME} characters; {len(name)} were given.",
            "Name it after the program that will use it.",
        )
    key = PREFIX + secrets.token_urlsafe(32)
    row = ApiKey(name=name, key_sha256=_digest(key), created_by_id=person_id)
    session.add(row)
    session.flush()
    return row, key


def list_keys(session: Session) -> Sequence[ApiKey]:
    """Those that are not revoked, the oldest first."""
    return session.scalars(select(ApiKey).where(ApiKey.revoked_at.is_(None)).order_by(ApiKey.id)).all()


def revoke(session: Session, key_id: int) -> ApiKey:
    """Let a key open nothing any more, from its next request on.

    Raises:
        BadKey: if there is no such key, or it is revoked already.
    """
    row = session.get(ApiKey, key_id)
    if row is None or row.revoked_at is not None:
        raise BadKey(f"There is no key {key_id}.", "It may have been revoked already: load the page again.")
    row.revoked_at = utc_now()
    return row


def accepts(session: Session, key: str) -> bool:
    """Whether a key opens the server; notes at most once a minute that it was used.

    It is looked up by its hash, so that the time this takes tells nothing of the keys there are.
    """
    row = session.scalar(select(ApiKey).where(ApiKey.key_sha256 == _digest(key), ApiKey.revoked_at.is_(None)))
    if row is None:
        return False
    now = utc_now()
    if row.last_used_at is None or now - row.last_used_at >= BETWEEN_NOTES_OF_USE:
        is_due = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at <= now - BETWEEN_NOTES_OF_USE)
        session.execute(update(ApiKey).where(ApiKey.id == row.id, is_due).values(last_used_at=now))
    return True


def is_any(session: Session) -> bool:
    """Whether there is a key, so that the server asks for one."""
    return session.scalar(select(ApiKey.id).where(ApiKey.revoked_at.is_(None)).limit(1)) is not None


def own_key() -> str:
    """What this installation's own processes show to its inference server: it follows from the secret they share."""
    return f"{PREFIX}own-{derived_key('own inference key').hex()}"


def is_own_key(key: str) -> bool:
    """Whether it is `own_key()`, compared in constant time."""
    return hmac.compare_digest(key.encode(), own_key().encode())


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()

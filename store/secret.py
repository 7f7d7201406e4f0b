"""Secret: what this installation encrypts with, and what keys of its own follow from it. It is not in the database."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

from pipeline.errors import HoneError
from store.settings import settings

FILE_NAME = "secret.key"


class LostSecret(HoneError):
    """Something was encrypted with another secret than the present one."""

    kind = "lost_secret"


def encrypt(text: str) -> str:
    """Fernet (AES-128-CBC with HMAC-SHA256) under the installation's secret."""
    from cryptography.fernet import Fernet

    return Fernet(_fernet_key()).encrypt(text.encode()).decode()


def decrypt(token: str) -> str:
    """What `encrypt` was given.

    Raises:
        LostSecret: if it was encrypted with another secret.
    """
    from cryptography.fernet import Fernet, InvalidToken

    try:
        return Fernet(_fernet_key()).decrypt(token.encode()).decode()
    except InvalidToken:
        raise LostSecret(
            "A stored key cannot be read: it was encrypted with another secret than this installation has now.",
            f"Enter the key again, or bring {FILE_NAME} (or HONE_SECRET) back.",
        ) from None  # the cause says nothing, and nothing of a key is to be seen


def derived_key(purpose: str) -> bytes:
    """32 bytes that follow from the secret, and from which it does not follow (HMAC-SHA256)."""
    return hmac.digest(_secret(), purpose.encode(), hashlib.sha256)


def _fernet_key() -> bytes:
    return base64.urlsafe_b64encode(derived_key("stored keys"))


def _secret() -> bytes:
    if settings().secret:
        return settings().secret.encode()
    path = settings().home / FILE_NAME
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return _make_file(path)


def _make_file(path: Path) -> bytes:
    """Make the file at first use; of several processes that do, all take the secret of the first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mine = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(mine, path)  # whole or not at all, and never over another's
    finally:
        mine.unlink()
    return path.read_bytes()

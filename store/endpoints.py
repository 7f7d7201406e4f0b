"""Endpoints: servers elsewhere that speak OpenAI's protocol, and the models that they answer for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from sqlalchemy import select
from sqlalchemy.orm import Session

from pipeline.asking.access import EndpointAccess, variable_of
from pipeline.errors import HoneError
from store import models, secret
from store.schema import Endpoint, Model, utc_now

LONGEST_NAME = 80
LONGEST_ADDRESS = 500
LONGEST_KEY = 2_000
MOST_MODELS_AT_ONCE = 50


class BadEndpoint(HoneError):
    kind = "bad_endpoint"


def add_endpoint(
    session: Session, *, name: str, base_url: str, key: str = "", person_id: int | None = None
) -> Endpoint:
    """Keep a server's address and, encrypted, its key.

    Raises:
        BadEndpoint: if the name, the address or the key cannot be used.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME:
        raise BadEndpoint(
            f"An endpoint's name has 1 to {LONGEST_NAME} characters; {len(name)} were given.",
            "Give it a name that people will know it by, such as OpenAI.",
        )
    address = clean_address(base_url)
    if session.scalar(select(Endpoint.id).where(Endpoint.name == name)) is not None:
        raise BadEndpoint(f"There is an endpoint named {name} already.", "Choose another name.")
    endpoint = Endpoint(name=name, base_url=address, encrypted_key=_encrypted(clean_key(key)), created_by_id=person_id)
    session.add(endpoint)
    session.flush()
    return endpoint


def list_endpoints(session: Session) -> Sequence[Endpoint]:
    """Those that are not removed, the oldest first."""
    return session.scalars(select(Endpoint).where(Endpoint.deleted_at.is_(None)).order_by(Endpoint.id)).all()


def get_endpoint(session: Session, endpoint_id: int) -> Endpoint:
    """Raises:
    BadEndpoint: if there is no such endpoint, or it was removed.
    """
    endpoint = session.get(Endpoint, endpoint_id)
    if endpoint is None or endpoint.deleted_at is not None:
        raise BadEndpoint(
            f"There is no endpoint {endpoint_id}.", "It may have been removed: the Settings page lists those there are."
        )
    return endpoint


def change_key(session: Session, endpoint_id: int, key: str) -> Endpoint:
    """Replace the key; an empty one takes it away."""
    endpoint = get_endpoint(session, endpoint_id)
    endpoint.encrypted_key = _encrypted(clean_key(key))
    return endpoint


def key_of(endpoint: Endpoint) -> str:
    """The key in clear; empty where there is none.

    Raises:
        LostSecret: if it was encrypted with another secret.
    """
    if endpoint.encrypted_key is None:
        return ""
    try:
        return secret.decrypt(endpoint.encrypted_key)
    except secret.LostSecret as error:
        raise secret.LostSecret(
            f"The key of the endpoint {endpoint.name} cannot be read: this installation's secret has changed.",
            "Enter the key again on the Settings page.",
        ) from error


def environment_of(session: Session, endpoint_ids: Iterable[int]) -> dict[str, str]:
    """What the process of a job that asks these endpoints is to be told, by its environment alone.

    Raises:
        BadEndpoint: if one was removed.
        LostSecret: if the key of one cannot be read any more.
    """
    return {
        variable_of(endpoint.id): EndpointAccess(
            name=endpoint.name, base_url=endpoint.base_url, key=key_of(endpoint)
        ).model_dump_json()
        for endpoint in (get_endpoint(session, endpoint_id) for endpoint_id in endpoint_ids)
    }


def remove_endpoint(session: Session, endpoint_id: int) -> None:
    """Forget the key, and take the endpoint and its models off the lists; battles and answers keep whose they were."""
    endpoint = get_endpoint(session, endpoint_id)
    for model in models_of(session, endpoint_id):
        models.delete_model(session, model.id)
    endpoint.encrypted_key = None
    endpoint.deleted_at = utc_now()
    endpoint.name = f"{endpoint.name} (removed {endpoint.id})"


def add_models(session: Session, endpoint_id: int, names_there: Sequence[str]) -> list[Model]:
    """Register models of an endpoint under the names that it has for them; those that are there already stay.

    Raises:
        BadEndpoint: if no name was given, or one cannot be one.
    """
    endpoint = get_endpoint(session, endpoint_id)
    wanted = list(dict.fromkeys(name.strip() for name in names_there if name.strip()))
    if not wanted:
        raise BadEndpoint("No model was chosen.", f"Choose at least one, or type the name that {endpoint.name} knows.")
    if len(wanted) > MOST_MODELS_AT_ONCE:
        raise BadEndpoint(
            f"{len(wanted)} models were chosen; {MOST_MODELS_AT_ONCE} at once are the most.", "Choose fewer."
        )
    for name in wanted:
        if len(name) > 300 or not name.isprintable():
            raise BadEndpoint(f"{name[:60]!r} cannot be the name of a model.", "Use the name as the server lists it.")
    known = {model.source: model for model in models_of(session, endpoint_id)}
    return [known.get(name) or _add_model(session, endpoint, name) for name in wanted]


def models_of(session: Session, endpoint_id: int) -> Sequence[Model]:
    query = select(Model).where(Model.endpoint_id == endpoint_id, Model.deleted_at.is_(None)).order_by(Model.id)
    return session.scalars(query).all()


def clean_address(given: str) -> str:
    """The address under which the server has `/chat/completions`; `/v1` where only a host was given.

    Raises:
        BadEndpoint: if it is no address of a web server, or holds what does not belong into one.
    """
    address = given.strip()
    try:
        parts = urlsplit(address)
        has_host = bool(parts.hostname)
        parts.port  # noqa: B018  raises for one that is no number
    except ValueError:
        has_host = False
    if not has_host or len(address) > LONGEST_ADDRESS or not re.fullmatch(r"[!-~]+", address):
        received = "" if "@" in address else f": {address[:100]!r} was given"
        raise BadEndpoint(f"This is not the address of a server{received}.", "Give it as in https://api.openai.com/v1.")
    if parts.scheme not in ("http", "https"):
        raise BadEndpoint(
            f"The address begins with {parts.scheme}://; only http:// and https:// can be used.",
            "Give it as in https://api.openai.com/v1.",
        )
    if parts.username is not None or parts.password is not None:
        raise BadEndpoint(
            "The address holds a user name or a password, which would be shown to everyone.",
            "Give the address alone, and the key in its own field.",
        )
    if parts.query or parts.fragment:
        raise BadEndpoint(
            "The address holds a ? or a #, and what follows would be lost.", "Give the address up to its path, /v1."
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/models")
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


def clean_key(given: str) -> str:
    """Raises:
    BadEndpoint: if it cannot be sent in a header; the words do not repeat it.
    """
    key = given.strip()
    if len(key) > LONGEST_KEY or not re.fullmatch(r"[!-~]*", key):
        raise BadEndpoint(
            f"The key of {len(key)} characters holds a space or a sign that no key has, or is too long.",
            "Copy it again from where it was made.",
        )
    return key


def _encrypted(key: str) -> str | None:
    return secret.encrypt(key) if key else None


def _add_model(session: Session, endpoint: Endpoint, name_there: str) -> Model:
    model = Model(
        name=models.free_name(session, models.clean_name(name_there.rpartition("/")[2])),
        kind="endpoint",
        source=name_there,
        endpoint_id=endpoint.id,
    )
    session.add(model)
    session.flush()
    return model

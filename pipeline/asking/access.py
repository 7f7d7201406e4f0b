"""Access: how a job's process learns where an endpoint is and what its key is: from its environment, and only there.

A spec names a model of an endpoint as `endpoint:3#gpt-4o`; the variable `HONE_ENDPOINT_3` holds the rest as JSON. So
neither address nor key is in a spec, in arguments, in a row or in a log.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import BadModel

PREFIX = "endpoint:"


class EndpointAccess(BaseModel):
    """A server elsewhere, as the process that asks it has to know it."""

    model_config = ConfigDict(frozen=True)

    name: str
    """What people call it."""
    base_url: str
    """Where its `/chat/completions` is."""
    key: str = Field(default="", repr=False)


@dataclass(frozen=True)
class EndpointModel:
    """A model of an endpoint, by the name that it has there."""

    endpoint_id: int
    name: str


def is_endpoint(location: str) -> bool:
    return location.startswith(PREFIX)


def endpoint_model(location: str) -> EndpointModel:
    """What `endpoint:<id>#<name there>` names.

    Raises:
        BadModel: if it is not of that form.
    """
    number, _, name = location.removeprefix(PREFIX).partition("#")
    if not is_endpoint(location) or not number.isdecimal() or not name:
        raise BadModel(
            f"{location[:200]!r} names no model of an endpoint.", "It is written as endpoint:<number>#<its name there>."
        )
    return EndpointModel(int(number), name)


def variable_of(endpoint_id: int) -> str:
    """The environment variable that holds an endpoint's access."""
    return f"HONE_ENDPOINT_{endpoint_id}"


def take_access(endpoint_id: int) -> EndpointAccess:
    """Read an endpoint's access, and take it out of the environment: no process that this one starts is to have it.

    Raises:
        BadModel: if it is not there, or is no access.
    """
    variable = variable_of(endpoint_id)
    told = os.environ.pop(variable, None)
    if told is None:
        raise BadModel(
            f"Nothing is known of the endpoint {endpoint_id}: the variable {variable} is not set.",
            'Set it to JSON such as {"name": "OpenAI", "base_url": "https://api.openai.com/v1", "key": "…"}.',
        )
    try:
        return EndpointAccess.model_validate_json(told)
    except ValidationError:
        raise BadModel(
            f"The variable {variable} does not hold an endpoint's name, base_url and key as JSON.", "Set it anew."
        ) from None  # the cause repeats what was received, and with it the key

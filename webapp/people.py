"""People in the browser: who is behind a request, by a long random cookie that `webapp.guards` hands out."""

from __future__ import annotations

from collections.abc import Mapping

import gradio as gr

from pipeline.errors import HoneError
from store import users
from store.database import reading, writing
from store.schema import Person

COOKIE = "hone_person"


class NoCookie(HoneError):
    kind = "no_cookie"


def person_of_cookies(cookies: Mapping[str, str]) -> Person:
    """Whoever holds the cookie; somebody new becomes a guest.

    Raises:
        NoCookie: if the browser keeps no cookies.
    """
    token = cookies.get(COOKIE)
    if not token:
        raise NoCookie(
            "Your browser sent no cookie, so nobody can be named for this.",
            "Allow cookies for this address and load the page again.",
        )
    with reading() as session:
        known = users.find_person(session, token)
    if known is not None:
        return known
    with writing() as session:
        return users.get_or_add_person(session, token)


def current_person(request: gr.Request) -> Person:
    """The person whose browser called a page's handler."""
    return person_of_cookies(request.cookies)

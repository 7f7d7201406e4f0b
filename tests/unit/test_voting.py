"""The public voting page: who has the link votes without the password, blind, and reaches nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from pipeline.errors import BadModel, BadSpec
from store import voting_links
from store.database import reading, writing
from store.schema import Person, Vote
from store.settings import Settings
from store.voting_links import NoLink
from tests.unit.test_drawing import add_model, add_prompts, prepare
from webapp.arena import voting
from webapp.guards import Guards, Password

NAMES = ("crimson-falcon", "teal-otter")
PAGE = {"accept": "text/html"}


@pytest.fixture
def app(home: Path) -> FastAPI:
    """The routes of voting behind a password, and a page of the team beside them."""
    app = FastAPI()
    app.include_router(voting.router)

    @app.get("/config")
    @app.get("/vote")
    def secret() -> str:
        return "the team's"

    app.add_middleware(Guards, settings=Settings(password="quartz"), password=Password.of("quartz"))
    return app


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with browser(app) as client:
        yield client


def browser(app: FastAPI) -> TestClient:
    return TestClient(app, base_url="http://localhost:7861", follow_redirects=False)


def make_link(home: Path, *, votes_an_hour: int = 100) -> tuple[int, str]:
    """A link to vote on two models' prepared answers by."""
    version_id = add_prompts(home, 6)
    for name in NAMES:
        prepare(version_id, add_model(name), list(range(6)))
    with writing() as session:
        link, token = voting_links.create(
            session, "Colleagues", prompt_version_id=version_id, votes_an_hour=votes_an_hour
        )
        return link.id, token


def vote(client: TestClient, token: str, outcome: str = "a") -> int:
    """Vote on the next battle; returns the status of the vote, or of what was refused before."""
    begun = client.post(f"/vote/{token}/battles")
    if begun.status_code != 200:
        return begun.status_code
    return client.post(f"/vote/{token}/battles/{begun.json()['id']}/vote", json={"outcome": outcome}).status_code


def num_votes() -> int:
    with reading() as session:
        return session.scalar(select(func.count(Vote.id))) or 0


def test_a_link_is_voted_by_without_the_password_and_never_names_a_model(home: Path, client: TestClient) -> None:
    _, token = make_link(home)
    page = client.get(f"/vote/{token}", headers=PAGE)
    assert page.status_code == 200
    battle = client.post(f"/vote/{token}/battles")
    given = client.post(f"/vote/{token}/battles/{battle.json()['id']}/vote", json={"outcome": "both_good"})
    assert given.json() == {"num_votes": 1}
    assert "on row" in battle.json()["a"]
    assert "on row" in battle.json()["b"]
    for answer in (page, battle, given):
        assert not [name for name in (*NAMES, "model_a", "seed") if name in answer.text]
    with reading() as session:
        (kept,) = session.scalars(select(Vote))
        person = session.get_one(Person, kept.person_id)
    assert (kept.outcome, kept.uncounted_because) == ("both_good", None)
    assert person.link_id is not None


@pytest.mark.parametrize("path", ["/config", "/vote", "/vote/x/../../config", "/", "/gradio_api/queue/join"])
def test_whoever_has_a_link_reaches_nothing_of_the_teams(home: Path, client: TestClient, path: str) -> None:
    _, token = make_link(home)
    client.get(f"/vote/{token}", headers=PAGE)
    assert vote(client, token) == 200
    assert client.get(path).status_code == 401
    assert client.get(path, headers=PAGE).status_code == 303


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
def test_a_path_below_a_link_that_is_none_of_its_own_ends_there(home: Path, client: TestClient, method: str) -> None:
    _, token = make_link(home)
    assert client.request(method, f"/vote/{token}/config").status_code == 404
    assert client.request(method, f"/vote/{token}/gradio_api/queue/join").status_code == 404


def test_the_last_vote_can_be_changed_and_counts_once(home: Path, client: TestClient) -> None:
    _, token = make_link(home)
    client.get(f"/vote/{token}", headers=PAGE)
    battle_id = client.post(f"/vote/{token}/battles").json()["id"]
    for outcome in ("a", "b", "b"):
        client.post(f"/vote/{token}/battles/{battle_id}/vote", json={"outcome": outcome})
    with reading() as session:
        (kept,) = session.scalars(select(Vote))
    assert kept.outcome == "b"
    assert [(change["outcome"], change["is_after_reveal"]) for change in kept.changes] == [("a", False)]


def test_a_voter_sees_and_votes_on_no_battle_of_another(home: Path, app: FastAPI) -> None:
    _, token = make_link(home)
    with browser(app) as ada, browser(app) as ben:
        for one in (ada, ben):
            one.get(f"/vote/{token}", headers=PAGE)
        hers = ada.post(f"/vote/{token}/battles").json()["id"]
        assert ben.post(f"/vote/{token}/battles").json()["id"] != hers
        assert ben.get(f"/vote/{token}/battles/{hers}").status_code == 404
        assert ben.post(f"/vote/{token}/battles/{hers}/vote", json={"outcome": "a"}).status_code == 404
    assert num_votes() == 0


def test_a_revoked_link_takes_no_further_vote(home: Path, client: TestClient) -> None:
    link_id, token = make_link(home)
    client.get(f"/vote/{token}", headers=PAGE)
    assert vote(client, token) == 200
    battle_id = client.post(f"/vote/{token}/battles").json()["id"]
    with writing() as session:
        voting_links.revoke(session, link_id)
    assert client.post(f"/vote/{token}/battles/{battle_id}/vote", json={"outcome": "a"}).status_code == 404
    assert client.get(f"/vote/{token}", headers=PAGE).status_code == 404
    assert vote(client, token) == 404
    assert num_votes() == 1


def test_a_voter_gives_no_more_votes_an_hour_than_the_link_allows(home: Path, client: TestClient) -> None:
    _, token = make_link(home, votes_an_hour=2)
    client.get(f"/vote/{token}", headers=PAGE)
    assert [vote(client, token) for _ in range(3)] == [200, 200, 429]
    assert num_votes() == 2


def test_all_voters_of_a_link_together_have_a_limit(home: Path, app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voting_links, "VOTERS_WORTH", 1)
    _, token = make_link(home, votes_an_hour=2)
    statuses = []
    for _ in range(3):
        with browser(app) as somebody:
            somebody.get(f"/vote/{token}", headers=PAGE)
            statuses.append(vote(somebody, token))
    assert statuses == [200, 200, 429]


def test_another_site_cannot_vote_in_somebodys_name(home: Path, client: TestClient) -> None:
    _, token = make_link(home)
    client.get(f"/vote/{token}", headers=PAGE)
    headers = {"origin": "https://evil.example"}
    assert client.post(f"/vote/{token}/battles", headers=headers).status_code == 403


@pytest.mark.parametrize("body", [{"outcome": "tie"}, {"outcome": "a", "person_id": 1}, {}])
def test_a_ballot_that_is_none_is_refused(home: Path, client: TestClient, body: dict[str, object]) -> None:
    _, token = make_link(home)
    client.get(f"/vote/{token}", headers=PAGE)
    battle_id = client.post(f"/vote/{token}/battles").json()["id"]
    assert client.post(f"/vote/{token}/battles/{battle_id}/vote", json=body).status_code == 422
    assert num_votes() == 0


def test_only_the_hash_of_a_token_is_kept_and_a_wrong_one_finds_nothing(home: Path) -> None:
    link_id, token = make_link(home)
    with reading() as session:
        link = voting_links.find(session, token)
        assert link.id == link_id
        assert token not in str(vars(link))
        with pytest.raises(NoLink):
            voting_links.find(session, token + "x")


def test_a_link_that_could_not_be_voted_by_is_not_made(home: Path) -> None:
    model = add_model("base")
    with writing() as session:
        with pytest.raises(BadSpec, match="name of 0"):
            voting_links.create(session, "  ")
        with pytest.raises(BadSpec, match="One model alone"):
            voting_links.create(session, "Colleagues", model_ids=[model])
        with pytest.raises(BadSpec, match="0 votes an hour"):
            voting_links.create(session, "Colleagues", votes_an_hour=0)
        with pytest.raises(BadModel, match="no model 99"):
            voting_links.create(session, "Colleagues", model_ids=[model, 99])

"""Endpoints and keys in the record: addresses that can be used, keys that nobody sees, models that answer elsewhere."""

from __future__ import annotations

import random
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline.errors import BadModel
from pipeline.spec import SpecFaults
from store import api_keys, endpoints, jobs, models, votes
from store.database import reading, writing
from store.endpoints import BadEndpoint
from store.schema import ApiKey, Endpoint, Model
from store.secret import FILE_NAME, LostSecret
from store.settings import settings
from webapp import talkers
from workers.inference.__main__ import models_of_store

KEY = "sk-very-secret-1234567890"


def add(name: str = "Elsewhere", base_url: str = "http://127.0.0.1:9", key: str = KEY) -> Endpoint:
    with writing() as session:
        return endpoints.add_endpoint(session, name=name, base_url=base_url, key=key)


def add_model(endpoint: Endpoint, name_there: str) -> Model:
    with writing() as session:
        (model,) = endpoints.add_models(session, endpoint.id, [name_there])
        return model


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://localhost:11434", "http://localhost:11434/v1"),
        (" https://api.openai.com/v1/ ", "https://api.openai.com/v1"),
        ("https://openrouter.ai/api/v1/chat/completions", "https://openrouter.ai/api/v1"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
    ],
)
def test_an_address_is_brought_into_one_shape(given: str, kept: str) -> None:
    assert endpoints.clean_address(given) == kept


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "not the address of a server"),
        ("api.openai.com", "not the address of a server"),
        ("file:///etc/passwd", "not the address of a server"),
        ("ftp://host/v1", "begins with ftp://"),
        ("http://host:99999/", "not the address of a server"),
        ("https://me:hunter2@host/v1", "user name or a password"),
        ("https://host/v1?key=hunter2", "holds a ?"),
        ("https://host /v1", "not the address of a server"),
    ],
)
def test_a_wrong_address_is_refused_without_repeating_a_password(given: str, words: str) -> None:
    with pytest.raises(BadEndpoint, match="") as refused:
        endpoints.clean_address(given)
    assert words in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_key_is_encrypted_under_a_secret_that_only_the_owner_can_read(home: Path) -> None:
    endpoint = add()
    with reading() as session:
        stored = str(session.execute(text("SELECT * FROM endpoints")).one())
        assert endpoints.key_of(session.get_one(Endpoint, endpoint.id)) == KEY
    assert KEY not in stored
    assert stat.S_IMODE((home / FILE_NAME).stat().st_mode) == 0o600


def test_a_lost_secret_asks_for_the_key_again(home: Path) -> None:
    endpoint = add()
    (home / FILE_NAME).unlink()
    with pytest.raises(LostSecret, match="Elsewhere") as lost:
        endpoints.key_of(endpoint)
    assert "Enter the key again" in lost.value.advice
    with writing() as session:
        endpoints.change_key(session, endpoint.id, "another")
        assert endpoints.key_of(endpoints.get_endpoint(session, endpoint.id)) == "another"


def test_machines_without_a_shared_disk_share_a_secret_by_their_environment(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HONE_SECRET", "the same everywhere")
    settings.cache_clear()
    endpoint = add()
    assert endpoints.key_of(endpoint) == KEY
    assert not (home / FILE_NAME).exists()


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "é", "x" * 3000])
def test_what_cannot_be_a_key_is_refused_without_repeating_it(key: str) -> None:
    with pytest.raises(BadEndpoint) as refused:
        endpoints.clean_key(key)
    assert key not in str(refused.value)


@pytest.mark.usefixtures("home")
def test_a_name_is_given_once_and_is_free_again_after_removal() -> None:
    first = add()
    with pytest.raises(BadEndpoint, match="already"):
        add()
    with writing() as session:
        endpoints.remove_endpoint(session, first.id)
    assert add().id != first.id


@pytest.mark.usefixtures("home")
def test_a_removed_endpoint_takes_its_models_along_and_forgets_its_key() -> None:
    endpoint = add()
    model = add_model(endpoint, "org/big-one")
    assert model.name == "big-one"
    with writing() as session:
        endpoints.remove_endpoint(session, endpoint.id)
    with reading() as session:
        assert not models.list_models(session)
        assert session.get_one(Endpoint, endpoint.id).encrypted_key is None
        assert models.load_model(session, model.id).name.startswith("big-one")


@pytest.mark.usefixtures("home")
def test_a_model_of_an_endpoint_is_added_once() -> None:
    endpoint = add()
    assert add_model(endpoint, "big").id == add_model(endpoint, " big ").id
    with writing() as session, pytest.raises(BadEndpoint, match="No model was chosen"):
        endpoints.add_models(session, endpoint.id, ["", " "])


@pytest.mark.usefixtures("home")
def test_a_model_of_an_endpoint_is_talked_to_and_compared_but_nothing_is_made_from_it() -> None:
    endpoint = add(name="There")
    model = add_model(endpoint, "big")
    with writing() as session:
        session.add(Model(name="own", kind="full", folder="own"))
    with reading() as session:
        assert talkers.choices(session) == [("big · There", str(model.id)), ("own", "2")]
        assert set(votes.draw_pair(session, random.Random(1))[0]) == {1, 2}
        assert [one.name for one in models.list_own_models(session)] == ["own"]
    assert set(models_of_store()) == {"own"}
    with pytest.raises(BadModel, match="answered by an endpoint"):
        models.location_of(model)
    with writing() as session, pytest.raises(SpecFaults, match="answered by an endpoint"):
        jobs.submit(session, "quantize", {"model": f"model:{model.id}"})


# -------------------------------------------------------------------------------------------------------- API keys


@pytest.mark.usefixtures("home")
def test_a_key_opens_until_it_is_revoked_and_is_not_in_the_record() -> None:
    with writing() as session:
        assert not api_keys.is_any(session)
        row, key = api_keys.create(session, name="script")
        assert api_keys.accepts(session, key)
        assert not api_keys.accepts(session, key + "x")
        assert not api_keys.accepts(session, row.key_sha256)
        assert key not in str(session.execute(text("SELECT * FROM api_keys")).one())
        api_keys.revoke(session, row.id)
        assert not api_keys.accepts(session, key)
        assert not api_keys.is_any(session)
        with pytest.raises(api_keys.BadKey):
            api_keys.revoke(session, row.id)


@pytest.mark.usefixtures("home")
def test_use_is_noted_at_most_once_a_minute() -> None:
    with writing() as session:
        row, key = api_keys.create(session, name="script")
        api_keys.accepts(session, key)
        session.refresh(row)
        first = row.last_used_at
        assert first is not None
        api_keys.accepts(session, key)
        session.refresh(row)
        assert row.last_used_at == first
        row.last_used_at = first - timedelta(minutes=2)
        session.flush()
        api_keys.accepts(session, key)
        session.refresh(row)
        assert row.last_used_at >= first


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("name", ["", "  ", "x" * 81])
def test_a_key_needs_a_name(name: str) -> None:
    with writing() as session, pytest.raises(api_keys.BadKey):
        api_keys.create(session, name=name)
    with reading() as session:
        assert session.get(ApiKey, 1) is None


def test_the_own_key_is_the_same_for_all_processes_of_a_data_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = api_keys.own_key()
    assert api_keys.is_own_key(own)
    assert not api_keys.is_own_key("")
    assert not api_keys.is_own_key("é")
    (home / FILE_NAME).unlink()
    assert not api_keys.is_own_key(own)

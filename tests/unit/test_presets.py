from __future__ import annotations

import pytest

from store import presets
from store.database import reading, writing


def names() -> list[str]:
    with reading() as session:
        return [one.name for one in presets.list_presets(session)]


@pytest.mark.usefixtures("home")
def test_saving_under_a_known_name_replaces_what_it_stood_for() -> None:
    with writing() as session:
        first = presets.save_preset(session, " terse ", {"temperature": 0})
        presets.save_preset(session, "Verbose", {"temperature": 1})
        again = presets.save_preset(session, "terse", {"temperature": 0.5})
        assert (again.id, again.settings) == (first.id, {"temperature": 0.5})
    assert names() == ["terse", "Verbose"]


@pytest.mark.usefixtures("home")
def test_a_deleted_preset_is_gone_and_its_name_is_free_again() -> None:
    with writing() as session:
        first = presets.save_preset(session, "terse", {"temperature": 0})
        presets.delete_preset(session, first.id)
    assert names() == []
    with writing() as session, pytest.raises(presets.NoPreset, match="not there any more"):
        presets.delete_preset(session, first.id)
    with writing() as session:
        assert presets.save_preset(session, "terse", {}).id != first.id


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(("name", "fault"), [("  ", "no name"), ("x" * 81, "81 characters")])
def test_a_name_that_cannot_be_used_is_refused(name: str, fault: str) -> None:
    with writing() as session, pytest.raises(presets.NoPreset, match=fault):
        presets.save_preset(session, name, {})

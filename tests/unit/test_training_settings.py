"""The settings of training say what a job takes, and refuse together what cannot go together."""

from __future__ import annotations

import pytest

from pipeline.recipes import get_recipe
from pipeline.spec import SpecFaults, validate_spec

GIVEN = {"model": "m", "dataset": "d"}


def test_a_job_takes_as_many_devices_as_it_has_processes_and_any_other_takes_one() -> None:
    assert validate_spec(get_recipe("sft").spec, GIVEN | {"num_processes": 4}).num_slots == 4
    assert validate_spec(get_recipe("quantize").spec, GIVEN).num_slots == 1


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"sharding": "fsdp"}, "sharding: needs num_processes of 2 or more"),
        ({"sharding": "fsdp", "num_processes": 2, "method": "qlora"}, "method: cannot go with fsdp"),
        ({"num_processes": 65}, "num_processes: input should be less than or equal to 64"),
    ],
)
def test_what_cannot_go_together_is_refused_in_a_sentence(values: dict[str, object], fault: str) -> None:
    with pytest.raises(SpecFaults, match=fault):
        validate_spec(get_recipe("sft").spec, GIVEN | values)

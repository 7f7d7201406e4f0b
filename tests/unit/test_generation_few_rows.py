from __future__ import annotations

import pytest
import torch
from torch import nn

from pipeline.generation.few_rows import hasten_few_rows


@pytest.mark.parametrize("num_rows", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("has_bias", [False, True])
def test_every_number_of_rows_gives_the_product_that_the_layer_itself_gives(num_rows: int, has_bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(12, 40, bias=has_bias)
    states = torch.randn(num_rows, 1, 12)
    expected = layer(states)
    hasten_few_rows(layer)
    assert "forward" in vars(layer)
    assert torch.allclose(layer(states), expected, atol=1e-6)
    assert layer(states).is_contiguous()


def test_several_columns_of_one_row_count_as_rows() -> None:
    layer = nn.Linear(12, 40)
    states = torch.randn(1, 3, 12)
    expected = layer(states)
    hasten_few_rows(layer)
    assert torch.allclose(layer(states), expected, atol=1e-6)


def test_layers_of_another_kind_or_number_format_are_left_alone() -> None:
    class OwnLinear(nn.Linear):
        """A layer that does more than multiply, as quantized ones do."""

    layers = nn.ModuleList([OwnLinear(4, 8), nn.Linear(4, 8, dtype=torch.bfloat16), nn.Linear(8, 4)])
    hasten_few_rows(layers)
    assert not any("forward" in vars(layer) for layer in layers)

"""Few rows: the linear layers of a decode step, where a whole matrix of weights meets two, three or four rows.

On a processor that step costs what reading the weights costs, and the usual product, rows times transposed weights,
reads them at half speed or worse when there are only a few rows; weights times columns is faster there. With one row,
or more than four, the usual product is as fast (measured with MKL, float32; `bench/RESULTS.md`).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

FEW = range(2, 5)


def hasten_few_rows(model: Any) -> None:
    """Let the plain float32 layers of a model on the processor take the faster product where there is one."""
    import torch

    for module in model.modules():
        if (
            type(module) is torch.nn.Linear
            and _is_float_on_processor(module)
            and module.out_features >= module.in_features
        ):
            module.forward = partial(_product, module)  # this layer's, not the class's


def _is_float_on_processor(module: nn.Linear) -> bool:
    import torch

    return module.weight.device.type == "cpu" and module.weight.dtype == torch.float32


def _product(layer: nn.Linear, states: Tensor) -> Tensor:
    """W x + b; `states` is (..., in)."""
    from torch.nn.functional import linear

    num_rows = states.numel() // states.shape[-1]
    if num_rows not in FEW:
        return linear(states, layer.weight, layer.bias)
    columns = states.reshape(num_rows, -1).t()
    product = (layer.weight @ columns).t().contiguous().view(*states.shape[:-1], -1)
    return product if layer.bias is None else product + layer.bias

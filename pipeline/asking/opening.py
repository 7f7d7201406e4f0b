"""Opening: the models that one job asks, each opened once; all own weights live in one engine."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from pipeline.asking.access import EndpointAccess, endpoint_model, is_endpoint, take_access
from pipeline.asking.endpoint import ModelElsewhere
from pipeline.asking.own_model import OwnModel

if TYPE_CHECKING:
    from pipeline.generation.engine import Engine

NO_LIMIT_BYTES = 2**60
"""The job has its device to itself: what does not fit fails by itself, as it would in training."""


class Models:
    """Use it in a `with` statement: at its end nothing is asked any more and the device is free."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._accesses: dict[int, EndpointAccess] = {}
        self._own: dict[str, OwnModel] = {}
        self._foreign: dict[str, ModelElsewhere] = {}

    def __enter__(self) -> Models:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for model in self._foreign.values():
            model.close()
        if self._engine is not None:
            self._engine.close()

    def open(self, location: str) -> OwnModel | ModelElsewhere:
        """The model at a place that a spec names.

        Raises:
            BadModel: if it is a model of an endpoint of which this process was told nothing.
        """
        return self._elsewhere(location) if is_endpoint(location) else self.open_own(location)

    def open_own(self, location: str) -> OwnModel:
        """One whose weights are here."""
        if location not in self._own:
            self._own[location] = OwnModel(self._engine_of_all(), location)
        return self._own[location]

    def _elsewhere(self, location: str) -> ModelElsewhere:
        if location not in self._foreign:
            model = endpoint_model(location)
            if model.endpoint_id not in self._accesses:
                self._accesses[model.endpoint_id] = take_access(model.endpoint_id)
            self._foreign[location] = ModelElsewhere(self._accesses[model.endpoint_id], model.name)
        return self._foreign[location]

    def _engine_of_all(self) -> Engine:
        from pipeline.generation.engine import Engine
        from pipeline.training.loop import device_name

        if self._engine is None:
            self._engine = Engine(memory_budget_bytes=NO_LIMIT_BYTES, device=device_name())
        return self._engine

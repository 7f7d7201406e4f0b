"""Schema: the tables, one class each. What may be done with their rows is in the module of each noun."""

from store.schema.arena import Battle, PreparedAnswer, Vote, VotingLink
from store.schema.base import Base, UtcDateTime, database_now, utc_now
from store.schema.data import ColumnMapping, DataReport, Dataset, DatasetVersion, RowReview
from store.schema.fleet import QueueState, Slot, Worker
from store.schema.jobs import (
    ACTIVE_STATES,
    Attempt,
    Job,
    JobDataset,
    JobState,
    LogEntry,
    Metric,
    Model,
    SampleText,
)
from store.schema.people import Person
from store.schema.playground import Answer, Conversation, Preset, Turn
from store.schema.servers import ApiKey, Endpoint

__all__ = [
    "ACTIVE_STATES",
    "Answer",
    "ApiKey",
    "Attempt",
    "Base",
    "Battle",
    "ColumnMapping",
    "Conversation",
    "DataReport",
    "Dataset",
    "DatasetVersion",
    "Endpoint",
    "Job",
    "JobDataset",
    "JobState",
    "LogEntry",
    "Metric",
    "Model",
    "Person",
    "PreparedAnswer",
    "Preset",
    "QueueState",
    "RowReview",
    "SampleText",
    "Slot",
    "Turn",
    "UtcDateTime",
    "Vote",
    "VotingLink",
    "Worker",
    "database_now",
    "utc_now",
]

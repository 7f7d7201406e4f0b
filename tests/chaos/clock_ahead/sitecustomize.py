"""Loaded by Python itself when a process starts with this folder on its path: its clock is an hour ahead of others'."""

import datetime
import time

SECONDS_AHEAD = 3600

right_time, right_datetime = time.time, datetime.datetime


class DatetimeOfAnyClock(type):
    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, right_datetime)


class DatetimeAhead(right_datetime, metaclass=DatetimeOfAnyClock):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return right_datetime.now(tz) + datetime.timedelta(seconds=SECONDS_AHEAD)


time.time = lambda: right_time() + SECONDS_AHEAD
datetime.datetime = DatetimeAhead  # type: ignore[misc]

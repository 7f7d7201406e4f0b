"""Settings: everything that the environment decides, read once, in one place."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.errors import HoneError

SECRET_NAMES = ("password", "inference_key", "secret")
"""The settings whose values nobody is shown."""


class BadSettings(HoneError):
    kind = "bad_settings"


class Settings(BaseModel):
    """One field a setting; the environment variable is `HONE_` and the field's name in capitals."""

    model_config = ConfigDict(frozen=True)

    home: Path = Field(Path("~/.hone"), description="The data folder: database, datasets, models, jobs, queue.")
    host: str = Field("127.0.0.1", description="The address that the web server listens on.")
    port: int = Field(7861, ge=1, le=65535, description="The port of the web server.")
    allowed_hosts: str = Field(
        "", description="More host names, separated by commas, under which browsers may reach the web server."
    )
    password: str = Field("", description="The team's password; needed where the server listens beyond this machine.")
    database_url: str = Field(
        "", description="SQLAlchemy address of the database; empty means SQLite in the data folder."
    )
    broker_url: str = Field("", description="Celery broker, such as redis://…; empty means a queue in the data folder.")
    inference_url: str = Field("", description="Address of the inference server; empty means the one `hone up` starts.")
    inference_host: str = Field("127.0.0.1", description="The address that the inference server listens on.")
    inference_port: int = Field(
        0,
        ge=0,
        le=65535,
        description="The port of the inference server; 0 takes the one after the web port, or any where that is taken.",
    )
    inference_key: str = Field("", description="Bearer key that the inference server asks for; empty asks for none.")
    secret: str = Field(
        "",
        description="What stored keys are encrypted with; empty means the file secret.key in the data folder. "
        "Set it, the same everywhere, where web and inference run on machines that share no disk.",
    )
    slots: int = Field(1, ge=1, le=64, description="Jobs at once on a worker that has no GPU.")
    warm_start: bool = Field(
        True, description="Keep the libraries of training loaded between jobs: each starts seconds sooner, for 0.5 GB."
    )
    lease_seconds: float = Field(30.0, gt=0, description="How long a silent worker keeps its job.")
    max_upload_gb: float = Field(64.0, gt=0, description="The largest file that may be uploaded, in gigabytes.")
    memory_gb: float = Field(
        0.0, ge=0, description="Memory that the inference server may fill with models; 0 means half of what is free."
    )

    @property
    def database_address(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'hone.db'}"

    @property
    def datasets_folder(self) -> Path:
        return self.home / "datasets"

    @property
    def uploads_folder(self) -> Path:
        return self.home / "uploads"

    @property
    def models_folder(self) -> Path:
        return self.home / "models"

    @property
    def reports_folder(self) -> Path:
        return self.home / "reports"

    @property
    def jobs_folder(self) -> Path:
        return self.home / "jobs"

    @property
    def queue_folder(self) -> Path:
        return self.home / "queue"


def read_settings(environment: dict[str, str] | None = None) -> Settings:
    """Read the settings from environment variables.

    Raises:
        BadSettings: with every value that cannot be used.
    """
    source = os.environ if environment is None else environment
    values = {
        name: source[f"HONE_{name.upper()}"] for name in Settings.model_fields if source.get(f"HONE_{name.upper()}")
    }
    try:
        read = Settings.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(
            f"HONE_{str(item['loc'][0]).upper()}={item['input']}: {item['msg'].lower()}" for item in error.errors()
        )
        raise BadSettings(
            f"The environment has settings that cannot be used: {faults}.", "Mend them and start again."
        ) from error
    return read.model_copy(update={"home": read.home.expanduser().absolute()})


def shown_settings(chosen: Settings) -> list[tuple[str, str, str]]:
    """Each setting's environment variable, its value with what is secret masked, and what it is for."""
    rows = []
    for name, field in Settings.model_fields.items():
        value = getattr(chosen, name)
        shown = "(set)" if value and name in SECRET_NAMES else re.sub(r"://[^@/]*@", "://…@", str(value))
        rows.append((f"HONE_{name.upper()}", shown, field.description or ""))
    return rows


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings."""
    return read_settings()

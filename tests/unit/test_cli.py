"""The command line and the settings: what cannot work is refused in one clear line, before anything is started."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from store.settings import BadSettings, Settings, read_settings, settings
from webapp import cli
from webapp.cli import check_machine, main


def test_a_busy_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(BadSettings, match=rf"Port {port} .* is in use.*HONE_PORT={port + 1}"):
            check_machine(Settings(home=tmp_path, port=port))


def test_a_data_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    with pytest.raises(BadSettings, match=r"cannot be written.*HONE_HOME"):
        check_machine(Settings(home=tmp_path / "home"))


def test_a_full_disk_is_refused_with_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(BadSettings, match=r"GB free.*needed"):
        check_machine(Settings(home=tmp_path))


def test_listening_to_other_machines_needs_a_password(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="no password is set"):
        check_machine(Settings(home=tmp_path, host="0.0.0.0"))


def test_every_bad_setting_is_told_at_once() -> None:
    with pytest.raises(BadSettings) as refused:
        read_settings({"HONE_PORT": "seventy", "HONE_SLOTS": "0"})
    assert "HONE_PORT=seventy" in str(refused.value)
    assert "HONE_SLOTS=0" in str(refused.value)


def test_settings_are_listed_without_their_secrets(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HONE_PASSWORD", "swordfish")
    monkeypatch.setenv("HONE_BROKER_URL", "redis://:swordfish@redis:6379/0")
    settings.cache_clear()
    assert main(["settings"]) == 0
    shown = capsys.readouterr().out
    assert "HONE_PASSWORD=(set)" in shown
    assert "swordfish" not in shown
    assert f"HONE_HOME={home}" in shown

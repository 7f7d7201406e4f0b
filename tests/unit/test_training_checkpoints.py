"""Checkpoints: a name means whole, damage is skipped, and the last two are kept."""

from __future__ import annotations

from pathlib import Path

from pipeline.training.checkpoints import latest_whole, publish, writing_folder


def _publish(checkpoints: Path, step: int) -> Path:
    written = writing_folder(checkpoints) / f"checkpoint-{step}"
    written.mkdir()
    (written / "weights.bin").write_bytes(bytes([step]) * 100)
    return publish(written, checkpoints)


def test_the_newest_whole_checkpoint_is_found_by_step_and_not_by_name(tmp_path: Path) -> None:
    _publish(tmp_path, 9)
    newest = _publish(tmp_path, 10)
    assert latest_whole(tmp_path, warn=lambda text: None) == newest


def test_only_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        _publish(tmp_path, step)
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-3"]


def test_a_truncated_checkpoint_is_skipped_with_a_warning(tmp_path: Path) -> None:
    older = _publish(tmp_path, 1)
    newer = _publish(tmp_path, 2)
    (newer / "weights.bin").write_bytes(b"")
    warnings: list[str] = []
    assert latest_whole(tmp_path, warn=warnings.append) == older
    assert len(warnings) == 1
    assert "checkpoint-2" in warnings[0]


def test_a_checkpoint_left_half_written_by_a_crash_is_never_found(tmp_path: Path) -> None:
    half = writing_folder(tmp_path) / "checkpoint-5"
    half.mkdir()
    assert latest_whole(tmp_path, warn=lambda text: None) is None
    writing_folder(tmp_path)
    assert not half.exists()

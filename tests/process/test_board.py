"""TensorBoard event files: TensorBoard itself reads back what a run wrote; alarms of a real run."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from core.experiments import board
from core.experiments.board import Board
from core.experiments.handles import Run
from tests.conftest import run_experiment, tiny


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_run_writes_its_records_where_asked_and_raises_its_alarm(tmp_path: Path) -> None:
    config = tiny(name="board", seeds=[0], encoder={"name": "test_convnext", "image_size": 64},
                  objectives=[{"name": "triplet", "mining": "batch_hard"}], budget={"images": 1200, "epochs": 2},
                  training={"batch": {"classes": 10, "samples": 4}, "lr": 0.01, "tensorboard": True})
    folder = run_experiment(config, tmp_path)
    run = folder / "triplet-15-seed0"
    records, found = Run(run).records, read(run)
    assert found["validation_map_at_r"] == [(record["images_seen"], pytest.approx(record["validation_map_at_r"], abs=1e-6))
                                            for record in records]
    assert [step for step, _ in found["loss"]] == [600, 1200]
    assert not (folder / "untrained-15-seed0" / "tensorboard").exists()
    [alarm] = Run(run).alarms
    assert alarm["kind"] == "collapse" and alarm["step"] <= 30 and "lower training.lr" in alarm["message"]
    first, last = records[0], records[-1]
    assert last["mean_cosine"] > 0.99 and last["validation_effective_rank"] < first["validation_effective_rank"]
    assert records[-1]["positives_per_anchor"] == 3 and 0 < records[-1]["compute_share"] <= 1
    assert records[-1]["memory"] > 1e8 and records[-1]["micro_batch"] == 40


def test_a_resumed_run_hides_what_was_written_of_later_images(tmp_path: Path) -> None:
    first = Board(Run(tmp_path), 0)
    for images, loss in ((0, 3.0), (100, 2.0), (200, 1.0)):
        first.write(images, {"epoch": 1, "loss": loss, "lr": None})
    Board(Run(tmp_path), 100).write(200, {"loss": 1.5})
    assert read(tmp_path) == {"loss": [(0, 3.0), (100, 2.0), (200, 1.5)]}


def test_without_the_package_it_is_refused_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"must be false unless .* install it with: pip install tensorboard"):
        board.check()

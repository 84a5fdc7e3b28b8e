"""EXPORT: what is taken along, verified first."""

from pathlib import Path

import pytest

from core.analysis import table as tables
from core.experiments import selections
from core.experiments.handles import Experiment
from tests.conftest import put_into


def test_export_says_what_it_holds(screen, experiment: Path) -> None:
    app = screen("export", experiment="tiny", run="supcon-15-seed0")
    assert app.header[0].value == "1,797 images × 96 dimensions, verified and ready to take along."
    assert 'pd.read_parquet("tiny-supcon-15-seed0.parquet")' in app.code[0].value


def test_export_refuses_a_damaged_table(screen, experiment: Path) -> None:
    path = experiment / "supcon-15-seed0" / "embeddings.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    app = screen("export", experiment="tiny", run="supcon-15-seed0")
    assert "must be an embedding table" in app.error[0].value


def test_cut_weights_are_said_with_what_can_be_done_and_the_table_is_still_there(screen, experiment: Path) -> None:
    path = experiment / "supcon-15-seed0" / "best.safetensors"
    path.write_bytes(path.read_bytes()[:10_000])
    app = screen("export", experiment="tiny", run="supcon-15-seed0")
    assert not app.exception and len(app.error) == 1
    assert app.error[0].value.startswith("Damaged: tiny/supcon-15-seed0/best.safetensors must")
    assert [button.label for button in app.button if "esume" in button.label] == ["Resume supcon-15-seed0"]
    assert app.get("download_button")[0].label == "Download Parquet"
    assert not [code.value for code in app.code if "main.py" in code.value], "commands that would fail"


@pytest.mark.parametrize("damage", ["gone", "changed", "of another run"])
def test_commands_that_need_the_weights_stand_only_where_these_can_be_read(screen, experiment: Path, damage: str) -> None:
    commands = ["python main.py export tiny/supcon-15-seed0 --output supcon-15-seed0.onnx",
                "python main.py embed tiny/supcon-15-seed0 FOLDER --output FILE.parquet"]
    app = screen("export", experiment="tiny", run="supcon-15-seed0")
    assert [code.value for code in app.code if "main.py" in code.value] == commands
    path = experiment / "supcon-15-seed0" / "best.safetensors"
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "changed":
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    else:
        path.write_bytes((experiment / "classification-15-seed0" / "best.safetensors").read_bytes())
    app = screen("export", experiment="tiny", run="supcon-15-seed0")
    assert not app.exception and len(app.error) == 1
    assert not [code.value for code in app.code if "main.py" in code.value]


def test_a_saved_selection_may_be_taken_along(screen, experiment: Path) -> None:
    test = tables.read(experiment / "supcon-15-seed0" / "embeddings.parquet").of_split("test")
    selections.save(Experiment(experiment), "hard", test.sample_id[:3].tolist())
    app = screen("export", experiment="tiny", run="supcon-15-seed0", select=test.sample_id[0])
    choice = next(item for item in app.selectbox if item.label == "Images")
    assert choice.options == ["all 1,797", "the 1 selected now", "hard (3)"]
    assert next(item.label for item in app.get("download_button")) == "Download Parquet"
    choice.select("hard").run()
    assert not app.exception
    assert [item.label for item in app.get("download_button")][:2] == ["Parquet · supcon-15-seed0", "CSV of the samples"]


def test_an_address_with_a_saved_selection_offers_it_first(screen, experiment: Path) -> None:
    selections.save(Experiment(experiment), "hard", ["0/0000"])
    app = screen("export", experiment="tiny", run="supcon-15-seed0", saved="hard")
    assert next(item.label for item in app.get("download_button")) == "Parquet · supcon-15-seed0"


@pytest.mark.parametrize("state", ["running", "lost", "failed"])
def test_what_is_finished_is_offered_while_the_rest_is_not(screen, experiment: Path, state: str) -> None:
    put_into(experiment, state)
    app = screen("export", experiment="tiny")
    assert len(next(item for item in app.selectbox if item.label == "Run").options) == 3
    assert "verified and ready to take along" in app.header[0].value


def test_nothing_finished_offers_to_watch(screen, experiment: Path) -> None:
    for path in experiment.glob("*/embeddings.parquet"):
        path.unlink()
    assert [button.label for button in screen("export", experiment="tiny").button] == ["Watch it train"]


def test_empty_offers_the_demo(screen) -> None:
    assert [button.label for button in screen("export").button] == ["Run the demo"]

"""Each experiment stands alone: one that is damaged, or of a newer version, is shown as such on every screen and by every
command, with what is wrong and what can be done, and the others are there as always."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

import main
from core.experiments.handles import Experiment, Run
from core.experiments.status import RunStatus
from core.jobs import control, series
from core.results import examination, verdict
from core.training.ranks import Ranks
from tests import SCREENS
from tests.conftest import opened, run_in_process, tiny
from tests.images import three_classes
from tests.lasting import assert_same_run
from tests.waiting import DEADLINE

RUN = "supcon-15-seed0"


def write(path: Path, content: bytes | str) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:len(content) // 2])


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def newer(path: Path) -> None:
    change(path, config={**json.loads(path.read_text())["config"], "new_key": 1})


def ticket(folder: Path, content: str) -> None:
    (folder.parent / ".queue").mkdir(exist_ok=True)
    write(folder.parent / ".queue" / "bad.json", content)


def by_a_folder(path: Path) -> None:
    """Puts a folder where a file should be."""
    path.unlink()
    path.mkdir()


def by_a_file(path: Path) -> None:
    """Puts a file where a folder should be."""
    shutil.rmtree(path)
    path.write_text("no folder")


def without(path: Path, key: str) -> None:
    values = json.loads(path.read_text())
    del values[key]
    path.write_text(json.dumps(values))


def flipped(path: Path) -> None:
    """One byte in the middle of a file is another."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 255
    path.write_bytes(bytes(content))


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "state empty": lambda e, r: write(r / "state.json", b""),
    "state half": lambda e, r: half(r / "state.json"),
    "state NULs": lambda e, r: write(r / "state.json", b"\0" * 200),
    "state missing": lambda e, r: (r / "state.json").unlink(),
    "state newer field": lambda e, r: change(r / "state.json", gpu="x"),
    "state unknown word": lambda e, r: change(r / "state.json", state="paused"),
    "state is a list": lambda e, r: write(r / "state.json", "[1]"),
    "state is a folder": lambda e, r: by_a_folder(r / "state.json"),
    "state of other types": lambda e, r: change(r / "state.json", state=["completed"], message=3),
    "records garbage line": lambda e, r: write(r / "records.jsonl", b'{"a":\n' + (r / "records.jsonl").read_bytes()),
    "records NUL tail": lambda e, r: write(r / "records.jsonl", (r / "records.jsonl").read_bytes() + b"\0" * 100 + b"\n"),
    "records half last line": lambda e, r: write(r / "records.jsonl", (r / "records.jsonl").read_bytes()[:-20]),
    "records other schema": lambda e, r: write(r / "records.jsonl", '{"x":1}\n'),
    "records of an epoch alone": lambda e, r: write(r / "records.jsonl", '{"epoch":1}\n{"epoch":2}\n'),
    "records not UTF-8": lambda e, r: write(r / "records.jsonl", b"\xff\xfe\n"),
    "records is a folder": lambda e, r: by_a_folder(r / "records.jsonl"),
    "run newer": lambda e, r: newer(r / "run.json"),
    "run newer format": lambda e, r: change(r / "run.json", format=99),
    "run of no config": lambda e, r: write(r / "run.json", "{}"),
    "run config is a list": lambda e, r: change(r / "run.json", config=[1]),
    "experiment newer": lambda e, r: newer(e / "experiment.json"),
    "experiment newer format": lambda e, r: change(e / "experiment.json", format=99),
    "experiment half": lambda e, r: half(e / "experiment.json"),
    "experiment empty": lambda e, r: write(e / "experiment.json", ""),
    "experiment missing": lambda e, r: (e / "experiment.json").unlink(),
    "experiment without classes": lambda e, r: without(e / "experiment.json", "classes"),
    "experiment nested deep": lambda e, r: write(e / "experiment.json", "[" * 100_000),
    "experiment is a folder": lambda e, r: (shutil.rmtree(e), e.mkdir(), (e / "experiment.json").mkdir()),
    "run folder missing": lambda e, r: shutil.rmtree(r),
    "run folder is a file": lambda e, r: by_a_file(r),
    "run folder is a loop": lambda e, r: (shutil.rmtree(r), r.symlink_to(r)),
    "verdict half": lambda e, r: half(e / "verdict.json"),
    "verdict missing": lambda e, r: (e / "verdict.json").unlink(),
    "verdict empty object": lambda e, r: write(e / "verdict.json", "{}"),
    "verdict newer schema": lambda e, r: change(e / "verdict.json", schema=99),
    "verdict of empty rows": lambda e, r: change(e / "verdict.json", rows=[{}]),
    "verdict of text": lambda e, r: write(e / "verdict.json", '{"rows": ["a"], "comparisons": [], "sentence": "x"}'),
    "embeddings half": lambda e, r: half(r / "embeddings.parquet"),
    "embeddings missing": lambda e, r: (r / "embeddings.parquet").unlink(),
    "embeddings one byte": lambda e, r: flipped(r / "embeddings.parquet"),
    "embeddings empty": lambda e, r: write(r / "embeddings.parquet", ""),
    "scores half": lambda e, r: half(r / "scores.parquet"),
    "scores missing": lambda e, r: (r / "scores.parquet").unlink(),
    "scores empty": lambda e, r: write(r / "scores.parquet", ""),
    "manifest half": lambda e, r: half(e / "manifest.parquet"),
    "manifest missing": lambda e, r: (e / "manifest.parquet").unlink(),
    "snapshot half": lambda e, r: half(sorted((r / "snapshots").glob("*.parquet"))[-1]),
    "snapshot odd name": lambda e, r: write(r / "snapshots" / "epoch_x.parquet", "a"),
    "snapshots is a file": lambda e, r: by_a_file(r / "snapshots"),
    "worker half": lambda e, r: write(e / "worker.json", '{"pid": 1'),
    "worker empty": lambda e, r: write(e / "worker.json", ""),
    "worker of text": lambda e, r: write(e / "worker.json", '{"pid": "x", "pid_created": null}'),
    "ticket empty": lambda e, r: ticket(e, ""),
    "ticket newer": lambda e, r: ticket(e, json.dumps({"number": 1, "experiment": e.name, "devices": ["cpu"], "pid": 1,
                                                       "pid_created": 0, "extra": 1})),
    "ticket of text": lambda e, r: ticket(e, '{"number": "x", "experiment": 3, "devices": 5, "pid": null, "pid_created": ""}'),
    "openings garbage": lambda e, r: write(e / "openings.jsonl", "{}\n"),
    "selections half": lambda e, r: write(e / "selections.json", '{"a"'),
    "selections of numbers": lambda e, r: write(e / "selections.json", '{"a": 1}'),
    "alarms garbage": lambda e, r: write(r / "alarms.jsonl", '{"a"\n'),
    "trials garbage": lambda e, r: write(r / "trials.json", '{"a"'),
    "trials of text": lambda e, r: write(r / "trials.json", '{"trials": [{"lr": "x"}]}'),
    "evaluation half": lambda e, r: half(r / "evaluation.json"),
    "readouts half": lambda e, r: half(r / "readouts.json"),
    "readouts empty object": lambda e, r: write(r / "readouts.json", "{}"),
    "best weights half": lambda e, r: half(r / "best.safetensors"),
}
# what a reader passes over, and what shows only where a file is read that neither Start nor `list` reads
UNHARMED = {"state newer field", "ticket newer", "records half last line", "snapshot odd name", "records of an epoch alone",
            "worker half", "worker empty", "worker of text", "snapshots is a file", "verdict missing"}
FOUND_WHEN_READ = {"embeddings one byte", "snapshot half", "openings garbage", "selections half", "selections of numbers",
                   "evaluation half", "readouts half", "readouts empty object", "verdict of empty rows"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment of 120 images, so that a screen is drawn soon. Read only."""
    root = tmp_path_factory.mktemp("small")
    config = tiny(dataset={"source": "folder", "root": str(three_classes(root / "images"))},
                  budget={"images": 48, "epochs": 2}, training={"batch": {"classes": 3, "samples": 8}, "lr": 0.003})
    return run_in_process(config, root)


@pytest.fixture
def pair(small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Copies of the finished experiment: one that stays whole, and a newer one to damage."""
    root = tmp_path / "checkpoints"
    folders = []
    for name in ("good", "damaged"):
        folder = Path(shutil.copytree(small, root / name))
        values = json.loads((folder / "experiment.json").read_text())
        change(folder / "experiment.json", config={**values["config"], "name": name})
        folders.append(folder)
    os.utime(root / "good" / "experiment.json", ns=(1, 1))
    monkeypatch.setenv("DUET_CHECKPOINTS", str(root))
    monkeypatch.setenv("DUET_DATA", str(tmp_path / "data"))
    return folders[0], folders[1]


def shown(app: AppTest) -> str:
    """Every word on a screen, and every choice."""
    parts = [item.value for kind in ("markdown", "caption", "error", "header", "subheader") for item in app.get(kind)]
    parts += [option for box in app.selectbox for option in box.options]
    return "\n".join(map(str, parts)) + str([item.proto for item in app.get("page_link")])


@pytest.mark.parametrize("kind", DAMAGE)
def test_every_screen_and_list_show_the_good_and_say_what_is_damaged(
        kind: str, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    good, damaged = pair
    sentence = json.loads((good / "verdict.json").read_text())["sentence"]
    DAMAGE[kind](damaged, damaged / RUN)
    root = str(good.parent)

    assert main.main(["list", "--checkpoints", root, "--data", str(good.parents[1] / "data")]) == 0
    listed = capsys.readouterr().out
    assert f"good  completed  6 of 6 runs  {sentence}" in listed and f"good/{RUN}  completed" in listed
    assert "damaged  " in listed
    assert main.main(["list", "--json", "--checkpoints", root]) == 0
    [item] = [item for item in json.loads(capsys.readouterr().out)["experiments"] if item["experiment"] == "good"]
    assert (item["state"], item["sentence"], item["damage"]) == ("completed", sentence, [])

    for screen in SCREENS:
        app = opened(screen, experiment="damaged", **({"from": "damaged"} if screen == "train" else {}))
        assert not app.exception, (screen, [item.value for item in app.exception])
        if screen != "train":
            assert "good" in shown(app), screen
        if screen == "start":
            assert ("material/report:" in shown(app)) == (kind not in UNHARMED | FOUND_WHEN_READ), shown(app)
    app = opened("compare", experiment="good")
    assert not app.exception and not app.error
    assert app.header[0].value.replace("\\", "").startswith(sentence[:30])


def test_an_experiment_without_a_verdict_is_not_damaged(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    DAMAGE["verdict missing"](pair[1], pair[1] / RUN)
    assert main.main(["list", "--checkpoints", str(pair[1].parent)]) == 0
    listed = capsys.readouterr().out
    assert "damaged  completed  6 of 6 runs  no verdict is written down; Compare decides one\n" in listed
    assert "damaged: " not in listed


@pytest.mark.parametrize(("kind", "screen", "words"), [
    ("manifest half", "data", "damaged/manifest.parquet must be a manifest"),
    ("embeddings half", "explore", "damaged/supcon-15-seed0/embeddings.parquet must be an embedding table, got"),
    ("embeddings one byte", "export", "damaged/supcon-15-seed0/embeddings.parquet must"),
    ("snapshot half", "watch", "must be a frame of the film"),
    ("experiment newer format", "watch", "was written by a newer Duet (format 99; this one reads up to 1)"),
    ("experiment half", "compare", "damaged/experiment.json must be JSON"),
    ("readouts half", "compare", "readouts.json must be"),
])
def test_the_screen_that_reads_a_damaged_file_says_which_and_what_can_be_done(
        kind: str, screen: str, words: str, pair: tuple[Path, Path]) -> None:
    run = "supcon-15-seed1" if screen == "watch" else RUN  # Watch shows the seed that trained last
    DAMAGE[kind](pair[1], pair[1] / run)
    app = opened(screen, experiment="damaged", run=run)
    said = " ".join(item.value for item in app.error).replace("\\", "").replace(":small[]", "")
    assert words in said and "What can be done:" in said, said
    assert any(button.label == "Delete for good" for button in app.button)


@pytest.mark.parametrize("kind", ["embeddings half", "embeddings empty"])
def test_compare_shows_the_verdict_without_the_spaces_and_says_once_what_is_damaged(
        kind: str, pair: tuple[Path, Path]) -> None:
    damaged = pair[1]
    wanted = opened("compare", experiment="good")
    DAMAGE[kind](damaged, damaged / RUN)
    app = opened("compare", experiment="damaged")
    assert not app.exception
    assert app.header[0].value == wanted.header[0].value
    assert app.dataframe[0].value.equals(wanted.dataframe[0].value), "every number is there"
    said = [item.value.replace("\\", "") for item in app.error]
    assert len(said) == 1 and f"{RUN}/embeddings.parquet must" in said[0] and "Arrow" not in said[0], said


@pytest.mark.parametrize("kind", ["scores half", "scores missing", "verdict half", "verdict missing", "verdict empty object",
                                  "verdict newer schema", "verdict of empty rows"])
def test_what_can_be_made_anew_is_made_anew_to_the_same_numbers(kind: str, pair: tuple[Path, Path]) -> None:
    good, damaged = pair
    DAMAGE[kind](damaged, damaged / RUN)
    assert verdict.read(Experiment(damaged)) == verdict.decide(Experiment(good))


def test_an_experiment_whose_name_is_not_text_and_other_strange_things_blind_nobody(
        pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    good, damaged = pair
    root = good.parent
    strange = os.fsdecode(os.fsencode(root) + b"/not\xfftext")
    os.rename(damaged, strange)
    (root / "loop").symlink_to(root / "loop")
    (root / "a file").write_text("x")
    (root / "nothing").mkdir()
    assert main.main(["list", "--checkpoints", str(root)]) == 0
    out = capsys.readouterr().out
    assert "good  completed" in out and "not\\xfftext  completed" in out
    app = opened("start")
    assert not app.exception and "good" in shown(app)


def test_where_no_experiments_name_is_text_every_screen_says_so(pair: tuple[Path, Path]) -> None:
    good, damaged = pair
    shutil.rmtree(damaged)
    os.rename(good, os.fsdecode(os.fsencode(good.parent) + b"/not\xfftext"))
    for screen in ("watch", "compare", "explore", "export"):
        app = opened(screen)
        assert not app.exception and app.header[0].value == "No experiment here can be opened.", screen


def test_a_run_whose_table_is_not_written_yet_is_not_finished(pair: tuple[Path, Path]) -> None:
    damaged = pair[1]
    (damaged / RUN / "embeddings.parquet").unlink()  # it is written last
    change(damaged / RUN / "state.json", state="running")
    rows = {row.objective: row.n_seeds for row in verdict.decide(Experiment(damaged)).rows}
    assert rows == {"untrained": 2, "classification": 2, "supcon": 1}


def test_damage_of_one_run_is_no_fault_of_another(pair: tuple[Path, Path], tmp_path: Path) -> None:
    damaged = pair[1]
    half(damaged / RUN / "embeddings.parquet")
    (damaged / RUN / "scores.parquet").unlink()
    again = damaged / "untrained-15-seed0"
    Run(again).write_status(RunStatus("queued"))
    series.work_through(Experiment(damaged), tmp_path / "data", "cpu", Ranks())
    assert control.last_state(Run(again)) == "completed"


def test_a_damaged_run_is_resumed_to_the_same_numbers(pair: tuple[Path, Path], tmp_path: Path) -> None:
    good, damaged = pair
    half(damaged / RUN / "embeddings.parquet")
    shutil.rmtree(damaged / "untrained-15-seed0")
    assert {item.path.parent.name for item in examination.examine(Experiment(damaged))} == {RUN, "untrained-15-seed0"}
    again = control.resume(Experiment(damaged).runs, tmp_path / "data", "cpu")
    assert {run.name for run in again} == {RUN, "untrained-15-seed0"}
    assert control.wait(Experiment(damaged), DEADLINE)
    for name in (RUN, "untrained-15-seed0"):
        assert_same_run(damaged / name, good / name)
    assert not examination.examine(Experiment(damaged))

"""WATCH in every state: the headline, the curves, the way on."""

import json
from pathlib import Path

import numpy as np

from core import files, scored_by
from core.experiments import film
from core.experiments.handles import Run
from tests.conftest import canvas_of, put_into


def labels(app) -> list[str]:
    return [button.label for button in app.button]


def test_empty_offers_the_demo(screen) -> None:
    app = screen("watch")
    assert app.header[0].value == "Nothing trained yet."
    assert labels(app) == ["Run the demo"]


def test_finished_says_the_sentence_and_offers_compare(screen, experiment: Path) -> None:
    app = screen("watch", experiment="tiny")
    assert app.header[0].value == files.read_json(experiment / "verdict.json")["sentence"] + "."
    assert [item.proto.label for item in app.get("page_link")] == ["**Compare**"]


def test_running_shows_how_far_it_is(screen, experiment: Path) -> None:
    put_into(experiment, "running", phase="training, epoch 1 of 2")
    app = screen("watch", experiment="tiny")
    assert app.header[0].value.startswith("Training tiny: run 4 of 6")
    assert "Stop all" in labels(app)


def test_failed_says_why_and_shows_the_log(screen, experiment: Path) -> None:
    put_into(experiment, "failed", kind="memory", message="out of memory; lower training.batch, then resume")
    app = screen("watch", experiment="tiny")
    assert app.header[0].value == "Failed: out of memory; lower training.batch, then resume"
    assert "Resume all" in labels(app)
    assert app.code, "the log's tail is one click away"


def test_lost_says_how_to_go_on(screen, experiment: Path) -> None:
    put_into(experiment, "lost")
    app = screen("watch", experiment="tiny")
    assert app.header[0].value == "Lost: its process is gone. Resume it from its last checkpoint, or delete it"
    assert "Resume all" in labels(app)


def test_stopped_says_how_much_is_done(screen, experiment: Path) -> None:
    put_into(experiment, "stopped")
    assert screen("watch", experiment="tiny").header[0].value == "Stopped after 3 of 6 runs"


def test_the_film_goes_back_to_the_untrained_encoder(screen, experiment: Path) -> None:
    app = screen("watch", experiment="tiny")
    sent = canvas_of(app)
    assert sent["titles"] == ["A · classification", "B · supcon"]
    assert [(reel["total"], [epoch for epoch, *_ in reel["frames"]]) for reel in sent["reels"]] == [(2, [0, 1, 2])] * 2
    records = [Run(experiment / f"{arm}-15-seed1").records for arm in ("classification", "supcon")]
    assert [[words for *_, words in reel["frames"]] for reel in sent["reels"]] == [
        [f" · MAP@R {100 * record['validation_map_at_r']:.1f}" for record in of] for of in records]
    newest, first = ([f"frame-{reel['frames'][place][1]}" for reel in sent["reels"]] for place in (-1, 0))
    assert {name for name in sent["arrays"] if name.startswith("frame-")} == set(newest), "what nobody asked for stays here"
    assert np.array_equal(sent["arrays"]["color0"], sent["arrays"]["label"]) and sent["color"]["is_label"]

    # as the browser asks once its slider is moved: those frames come, and they alone
    app.session_state["told-film-tiny"]["frames"] = tuple(name.removeprefix("frame-") for name in first)
    sent = canvas_of(app.run())
    assert set(sent["arrays"]) == set(first)
    for name, arm in zip(first, ("classification", "supcon")):
        frame = film.read_frame(Run(experiment / f"{arm}-15-seed1").snapshots[0])
        assert np.array_equal(sent["arrays"][name].reshape(-1, 2), np.stack([frame["x"], frame["y"]], axis=1))
        assert sent["arrays"][name].nbytes == 8 * len(frame["x"])
    assert canvas_of(app.run())["arrays"] == {}


def test_a_frame_of_the_film_that_cannot_be_read_is_left_out_and_said(screen, experiment: Path) -> None:
    path = Run(experiment / "supcon-15-seed1").snapshots[1]
    path.write_bytes(path.read_bytes()[:100])
    app = screen("watch", experiment="tiny")
    assert not app.error, "it is read when it is asked for"
    [whole, damaged] = canvas_of(app)["reels"]
    app.session_state["told-film-tiny"]["frames"] = tuple(reel["frames"][1][1] for reel in (whole, damaged))
    for _ in range(2):  # and is said for as long as it stays so
        sent = canvas_of(app.run())
        assert [item.value for item in app.error if "must be a frame of the film" in item.value]
        assert [[epoch for epoch, *_ in reel["frames"]] for reel in sent["reels"]] == [[0, 1, 2], [0, 2]]


def test_an_alarm_stands_in_words_with_its_remedy(screen, experiment: Path) -> None:
    run = experiment / "supcon-15-seed0"
    Run(run).append_alarm({"kind": "collapse", "step": 20, "message": "all embeddings draw together; lower training.lr"})
    [warning] = screen("watch", experiment="tiny").warning
    assert warning.value == "**supcon-15-seed0**, step 20: all embeddings draw together; lower training.lr."


def test_curves_show_another_number_and_every_seed(screen, experiment: Path) -> None:
    app = screen("watch", experiment="tiny")
    app.selectbox(key="curve-tiny").select("mean_cosine").run()
    app.toggle(key="every-seed-tiny").set_value(True).run()
    assert not app.exception
    assert "the model computes" in " ".join(item.value for item in app.caption)


def test_a_curve_of_two_rules_says_so(screen, experiment: Path) -> None:
    assert "earlier version" not in " ".join(item.value for item in screen("watch", experiment="tiny").caption)
    for seed in (0, 1):
        path = experiment / f"supcon-15-seed{seed}" / "records.jsonl"
        first, *others = path.read_text().splitlines()
        record = json.loads(first)
        assert record.pop(scored_by.KEY) == scored_by.VERSION
        path.write_text("\n".join([json.dumps(record), *others]) + "\n")
    said = [item.value for item in screen("watch", experiment="tiny").caption if scored_by.EARLIER in item.value]
    assert len(said) == 1 and said[0].startswith("supcon: the first epochs were ")

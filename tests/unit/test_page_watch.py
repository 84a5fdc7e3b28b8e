"""WATCH in every state: the headline, the curves, the way on."""

import json
from pathlib import Path

from core import files, scored_by
from core.experiments.store import Run
from tests.conftest import put_into


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
    assert app.header[0].value.startswith("Training: run 4 of 6")
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
    slider = next(item for item in app.select_slider if item.label == "Film: epoch")
    slider.set_value(0).run()
    assert "epoch 0 of 2" in " ".join(item.value for item in app.caption)


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

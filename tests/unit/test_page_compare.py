"""COMPARE: the verdict, the table, a shared selection, and what is said before there is one."""

from pathlib import Path

import pytest

from core import files
from core.experiments import openings
from core.experiments.handles import Experiment, Run
from tests.conftest import put_into
from tests.unit.test_verdict import spoil


def test_the_sentence_stands_on_top_and_the_table_agrees_with_the_verdict(screen, experiment: Path) -> None:
    app = screen("compare", experiment="tiny")
    verdict = files.read_json(experiment / "verdict.json")
    assert app.header[0].value == verdict["sentence"] + "."
    table = app.dataframe[0].value.set_index("metric")
    arms = {row["objective"]: row["metrics"] for row in verdict["rows"]}
    mean, sd = arms["supcon"]["map_at_r"]["mean"], arms["supcon"]["map_at_r"]["sd"]
    assert table.loc["MAP@R", "B · supcon"] == f"{100 * mean:.1f} ± {100 * sd:.1f}"
    assert table.columns[0] == "untrained"


def test_training_that_did_not_help_is_said_below_the_sentence(screen, experiment: Path) -> None:
    spoil(experiment, "supcon")
    said = [item.value for item in screen("compare", experiment="tiny").markdown]
    assert any("Cannot tell SupCon from the untrained encoder on MAP@R: " in text for text in said)
    said = [item.value for item in screen("compare", experiment="tiny", a="untrained", b="supcon").markdown]
    assert not any("from the untrained encoder on" in text for text in said), "the sentence itself says so"


def test_an_address_with_a_selection_shows_its_images_and_neighbours(screen, experiment: Path) -> None:
    manifest = Experiment(experiment).manifest()
    sample_id = manifest.sample_id[manifest.indices("test")[0]]
    app = screen("compare", experiment="tiny", select=sample_id)
    assert "**1 selected**" in [item.value for item in app.markdown]


def test_openings_of_the_test_set_are_said(screen, experiment: Path) -> None:
    captions = " ".join(item.value for item in screen("compare", experiment="tiny").caption)
    assert "The test set was opened 4 times, by 4 trained runs, once each." in captions
    openings.add(Run(experiment / "supcon-15-seed0"))
    captions = " ".join(item.value for item in screen("compare", experiment="tiny").caption)
    assert "opened 5 times, by 4 trained runs; 1 of them more than once." in captions


def test_one_number_of_images_offers_the_curve_and_opens_train(screen, experiment: Path) -> None:
    app = screen("compare", experiment="tiny")
    next(button for button in app.button if button.label == "Run the low-data curve").click().run()
    assert not app.exception
    assert "as in **tiny**" in " ".join(item.value for item in app.markdown)
    assert next(item for item in app.text_input if item.label == "Images per class").value == "1, 2, 5, 15, 50, all"


def test_the_untrained_encoder_may_be_an_arm(screen, experiment: Path) -> None:
    app = screen("compare", experiment="tiny", a="untrained", b="supcon")
    assert "untrained" in app.header[0].value
    assert "before training" in " ".join(item.value for item in app.caption)


@pytest.mark.parametrize("color", ["cluster", "right or wrong", "won or lost", "MAP@R", "silhouette"])
def test_every_colour_draws(screen, experiment: Path, color: str) -> None:
    app = screen("compare", experiment="tiny", color=color)
    assert next(item for item in app.selectbox if item.label == "Colour by").value == color
    assert "Nothing selected" in [item.value for item in app.markdown]


@pytest.mark.parametrize("state", ["running", "lost", "failed"])
def test_what_is_finished_is_compared_while_the_rest_is_not(screen, experiment: Path, state: str) -> None:
    put_into(experiment, state)
    app = screen("compare", experiment="tiny")
    assert next(item for item in app.selectbox if item.label == "Seed").options == ["0"]
    assert "Nothing selected" in [item.value for item in app.markdown]


def test_unfinished_seeds_are_said(screen, experiment: Path) -> None:
    put_into(experiment, "failed", message="disk full")
    app = screen("compare", experiment="tiny")
    assert app.header[0].value.startswith("No verdict yet: 1 of 2 planned seeds has finished (MAP@R so far: SupCon ")
    assert not any("this will change" in item.value for item in app.caption), "the headline says it"


def test_before_two_objectives_have_finished_it_says_so(screen, experiment: Path) -> None:
    put_into(experiment, "queued")
    for name in ("classification-15-seed0", "supcon-15-seed0"):
        (experiment / name / "embeddings.parquet").unlink()
    app = screen("compare", experiment="tiny")
    assert "once two objectives have finished a run" in app.info[0].value
    assert [button.label for button in app.button] == ["Watch it train"]


def test_empty_offers_the_demo(screen) -> None:
    assert [button.label for button in screen("compare").button] == ["Run the demo"]

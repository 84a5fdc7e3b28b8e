"""Looks at an experiment: which verdict is which, what is withheld meanwhile, and what every screen and page says of it."""

import argparse
from pathlib import Path

import pytest

import main
from core import files
from core.analysis import spending
from core.cli import follow
from core.errors import Damaged
from core.experiments import looks, planning, store
from core.experiments.handles import Experiment
from core.experiments.looks import PLANNED, Look
from core.report import gathering
from core.results import result, verdict
from tests.conftest import put_into, tiny
from tests.unit.test_pairs import Page

NOTE = ("Second look: seeds were added to those planned, so intervals hold in 98.75 % of cases, not 95 %, to make up for "
        "looking twice")
PAIR = ("tiny/classification-15", "tiny/supcon-15")


def say_added(folder: Path, *additions: list[int]) -> None:
    """Has an experiment say that some of its seeds were added, a look for each list."""
    path = folder / "experiment.json"
    files.write_json(path, files.read_json(path) | {"added_seeds": [{"seeds": seeds, "at": 0.0} for seeds in additions]})


def test_without_a_record_an_experiment_is_at_its_planned_look_once_all_seeds_have_finished(experiment: Path) -> None:
    assert looks.of(Experiment(experiment), 2) == PLANNED == Look(1)
    assert looks.of(Experiment(experiment), 1) == Look(1, n_awaited=2)
    assert looks.upcoming(Experiment(experiment)).note == NOTE


def test_each_addition_is_one_look_more(experiment: Path) -> None:
    handle = Experiment(experiment)
    grown = handle.config.model_copy(update={"seeds": (0, 1, 2, 3, 4)})
    looks.write_added(handle, grown, (2, 3, 4))
    looks.write_added(handle, grown.model_copy(update={"seeds": (0, 1, 2, 3, 4, 5)}), (5,))
    why = "seeds were added to those planned"
    found = [looks.of(handle, n_seeds) for n_seeds in range(1, 7)]
    assert found == [Look(1, 2), Look(1), Look(2, 5, why), Look(2, 5, why), Look(2, 0, why), Look(3, 0, why)]
    assert handle.config.seeds == (0, 1, 2, 3, 4, 5) and looks.upcoming(handle) == Look(4, 0, why)


@pytest.mark.parametrize("added", [[{"seeds": [7]}], [{"seeds": [1]}, {"seeds": [1]}], [{"seeds": [0, 1]}], [{}], 3,
                                   [{"seeds": []}], [{"seeds": [[1]]}]])
def test_a_count_that_was_changed_by_hand_is_damage(experiment: Path, added: object) -> None:
    path = experiment / "experiment.json"
    files.write_json(path, files.read_json(path) | {"added_seeds": added})
    with pytest.raises(Damaged, match="must hold some of the experiment's seeds in each of added_seeds"):
        looks.of(Experiment(experiment), 2)


def test_every_interval_of_a_second_look_is_wider_and_says_so(finished: Path, experiment: Path) -> None:
    say_added(experiment, [1])
    planned, second = (verdict.decide(Experiment(folder)).comparisons[0] for folder in (finished, experiment))
    assert (planned.look, planned.look_note, second.look, second.look_note) == (1, "", 2, NOTE)
    for part in ("differences", "space", "per_class"):
        pairs = list(zip(getattr(planned, part), getattr(second, part), strict=True))
        assert {item.alpha for _, item in pairs} == {spending.alpha(2)}
        varied = [(before, after) for before, after in pairs if before.low < before.high]
        assert varied and all(after.high - after.low > before.high - before.low for before, after in varied
                              if (before.low, before.high) != (-1, 1))
    assert second.n_bootstrap == 1600 * 2 and planned.n_bootstrap == 200
    assert "98.75 % " in second.sentence and "95 % " not in second.sentence
    assert second.differences[0].difference == planned.differences[0].difference
    for row in verdict.decide(Experiment(experiment)).rows[1:]:
        assert row.against_untrained.alpha == spending.alpha(2)


def test_compare_report_and_command_line_say_which_look_it_is(screen, experiment: Path, tmp_path: Path,
                                                              capsys: pytest.CaptureFixture[str]) -> None:
    say_added(experiment, [1])
    result.write(Experiment(experiment), verdict.decide(Experiment(experiment)))
    app = screen("compare", experiment="tiny")
    assert any(NOTE in item.value for item in app.markdown)
    assert "B − A, 98.75 % interval" in app.dataframe[0].value
    assert any("the 98.75 % interval is a bootstrap" in item.value for item in app.caption)
    assert main.main(["--checkpoints", str(experiment.parent), "compare", *PAIR, "--output", str(tmp_path / "page.html")]) == 0
    printed = capsys.readouterr().out
    assert NOTE in printed and "98.75 % interval" in printed
    gathering.write(Experiment(experiment), tmp_path / "report.html")
    for page in ("page.html", "report.html"):
        text = Page(tmp_path / page).text
        assert f"{NOTE}." in text and "98.75 % interval" in text and "95 % interval" not in text
    follow.conclude(Experiment(experiment), argparse.Namespace(json=False))
    assert capsys.readouterr().out.count(NOTE) == 1


def test_no_verdict_is_given_before_the_planned_seeds_have_finished(screen, experiment: Path,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    put_into(experiment, "failed", message="disk full")
    found = verdict.decide(Experiment(experiment))
    pair = found.comparisons[0]
    assert found.sentence == pair.sentence and pair.look_note == ""
    assert pair.sentence.startswith("No verdict yet: 1 of 2 planned seeds has finished (MAP@R so far: SupCon ")
    assert {item.verdict for item in (*pair.differences, *pair.per_class)} == {""}
    assert {row.not_improved for row in found.rows} == {""}
    assert {row.against_untrained.verdict for row in found.rows if row.against_untrained} == {""}
    app = screen("compare", experiment="tiny")
    assert app.header[0].value == f"{pair.sentence}."
    assert set(app.dataframe[0].value["can we tell?"]) == {"no verdict yet"}
    assert main.main(["--checkpoints", str(experiment.parent), "compare", *PAIR]) == 0
    assert capsys.readouterr().out.startswith(f"{pair.sentence}.")


def test_the_planned_verdict_stands_while_added_seeds_are_under_way_and_that_is_said(screen, experiment: Path) -> None:
    put_into(experiment, "failed")
    say_added(experiment, [1])
    app = screen("compare", experiment="tiny")
    assert not app.header[0].value.startswith("No verdict yet")
    assert "1 of 2 seeds are finished; this will change." in [item.value for item in app.caption]


def test_single_runs_are_compared_whatever_is_planned(experiment: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"{name}-seed0" for name in PAIR]
    assert main.main(["--checkpoints", str(experiment.parent), "compare", *names]) == 0
    assert "another seed may well say otherwise" in (printed := capsys.readouterr().out) or "annot tell" in printed


def test_a_look_in_words() -> None:
    assert PLANNED.note == ""
    assert Look(3, reason="why").note == ("Third look: why, so intervals hold in 99.58 % of cases, not 95 %, to make up for "
                                          "looking 3 times")
    assert Look(11, reason="why").note.startswith("Look 11: why, so intervals hold in 99.98 % of cases")


def test_watch_offers_seeds_of_an_experiment_that_has_ended_and_names_the_price(screen, experiment: Path) -> None:
    app = screen("watch", experiment="tiny")
    assert any(item.value == f"What the next verdict will say of itself: *{NOTE}.*" for item in app.markdown)
    assert "Add and train" in [button.label for button in app.button]
    put_into(experiment, "failed")
    assert "Add and train" not in [button.label for button in screen("watch", experiment="tiny").button]


def another(experiment: Path, name: str, **changes: object) -> Experiment:
    """A new experiment beside one that has finished."""
    checked = planning.plan(tiny(name=name, **changes))
    return store.create(checked.config, checked.manifest, experiment.parent, checked.random_split)


def test_an_experiment_that_differs_in_its_seeds_alone_is_one_look_more(experiment: Path) -> None:
    checked = planning.plan(tiny(name="second", seeds=[0, 1, 2]))
    before = store.experiments(experiment.parent)
    planned = looks.of_plan(checked.config, checked.manifest.fingerprint, before)
    assert planned == Look(2, 0, "tiny asked the same before with other seeds")
    assert planned.note.startswith("Second look: tiny asked the same before")
    same = planning.plan(tiny(name="second"))
    assert looks.of_plan(same.config, same.manifest.fingerprint, before) == PLANNED, "the same seeds are no other look"
    second = another(experiment, "second", seeds=[0, 1, 2], evaluation={"kmeans_seeds": 2, "bootstrap": 300, "probe": 60})
    assert looks.of(second, 3) == Look(2, 0, "tiny asked the same before with other seeds")
    third = another(experiment, "third", seeds=[5, 6])
    assert third.description["earlier_looks"] == [{"experiment": "tiny", "seeds": [0, 1]}], "the second gave no verdict"
    say_added(experiment, [1])
    fourth = another(experiment, "fourth", seeds=[3])
    assert looks.of(fourth, 1).number == 3, "two verdicts were given before"
    Experiment(experiment).delete()
    assert looks.of(fourth, 1).number == 3
    values = files.read_json(fourth.description_file)
    files.write_json(fourth.description_file, values | {"config": values["config"] | {"seeds": [3, 4]},
                                                        "added_seeds": [{"seeds": [4]}]})
    assert looks.of(fourth, 2) == Look(4, 0, "tiny asked the same before with other seeds, and seeds were added to those "
                                             "planned")


def test_an_experiment_of_an_earlier_version_is_a_look_too(experiment: Path) -> None:
    path = experiment / "experiment.json"
    values = files.read_json(path)
    del values["config"]["training"]["batch"]["order"]  # settings that it did not know
    for objective in values["config"]["objectives"]:
        del objective["order"]
    files.write_json(path, values)
    assert looks.of(another(experiment, "second", seeds=[0, 1, 2]), 3).number == 2


def test_an_addition_under_way_hides_no_look(experiment: Path) -> None:
    looks.write_added(Experiment(experiment), tiny(seeds=[0, 1, 2]), (2,))
    result.write(Experiment(experiment), verdict.decide(Experiment(experiment)))  # as after a run that failed: no verdict yet
    assert looks.of(another(experiment, "other", seeds=[5, 6]), 2).number > 1


@pytest.mark.parametrize("changes", [{}, {"seeds": [1, 0]}, {"seeds": [0, 1, 2], "objectives": ["supcon", "classification"]},
                                     {"seeds": [0, 1, 2], "split": {"seed": 1}}])
def test_the_same_seeds_or_another_question_are_no_further_look(experiment: Path, changes: dict) -> None:
    created = another(experiment, "other", **changes)
    assert looks.of(created, len(created.config.seeds)) == PLANNED and "earlier_looks" not in created.description


def test_what_gave_no_verdict_or_cannot_be_read_is_no_look(experiment: Path) -> None:
    put_into(experiment, "failed")
    result.write(Experiment(experiment), verdict.decide(Experiment(experiment)))
    assert looks.of(another(experiment, "other", seeds=[0, 1, 2]), 3) == PLANNED
    (experiment / "experiment.json").write_text("{")
    assert looks.of(another(experiment, "more", seeds=[0, 1, 2]), 3) == PLANNED


def test_earlier_looks_that_were_changed_by_hand_are_damage(experiment: Path) -> None:
    path = experiment / "experiment.json"
    files.write_json(path, files.read_json(path) | {"earlier_looks": [{}]})
    with pytest.raises(Damaged, match="must name an experiment in each of earlier_looks"):
        looks.of(Experiment(experiment), 2)

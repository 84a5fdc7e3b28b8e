"""One conclusion from several datasets: who asks the same question, what is left out in which words, and what is concluded."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

import main
from core import files
from core.analysis.comparison import Difference, Equivalence
from core.analysis.partial_conjunction import Combination
from core.errors import InputError
from core.experiments import datasets
from core.experiments.handles import Experiment
from core.report import figures, palette
from core.results import conclusion, result, same_question
from core.results.conclusion import Conclusion
from core.results.same_question import Answers, Finding
from tests.conftest import tiny
from tests.several_datasets import on_another_dataset

BETTER = (0.05, 0.03, 0.07, 0.001, "better")
WORSE = (-0.05, -0.07, -0.03, 0.001, "worse")
UNSURE = (0.01, -0.02, 0.04, 0.5, "cannot tell")
SAME = (0.004, 0.001, 0.007, 0.002, "same")


def finding(name: str, gap: tuple[float, float, float, float, str], n_seeds: int = 3) -> Finding:
    middle, low, high, p_value, verdict = gap
    return Finding(name, name, "all", Difference("map_at_r", 0.8, 0.8 + middle, middle, low, high, verdict, n_seeds, 200, None,
                                                 p_value, p_value, equivalence=Equivalence(0.01, 1.0, 1.0)))


def concluded(*gaps: tuple[float, float, float, float, str], combination: Combination = "bonferroni",
              n_seeds: int = 3) -> Conclusion:
    """Of datasets a, b, c and so on."""
    findings = tuple(finding(name, gap, n_seeds) for name, gap in zip("abcdefghijkl", gaps))
    return conclusion.conclude(Answers("classification", "SupCon", findings, (), (), ()), combination)


@pytest.mark.parametrize(("gaps", "sentence"), [
    ([BETTER, BETTER, UNSURE], "SupCon is better than classification on at least 2 of 3 datasets by MAP@R (a and b)"),
    ([WORSE, UNSURE], "SupCon is worse than classification on at least 1 of 2 datasets by MAP@R (a)"),
    ([WORSE, BETTER, UNSURE, BETTER],
     "SupCon is better than classification on at least 2 of 4 datasets by MAP@R (b and d) and worse on at least 1 (a)"),
    ([UNSURE, UNSURE], "Cannot tell SupCon from classification on any of 2 datasets by MAP@R"),
    ([UNSURE, SAME], "Cannot tell SupCon from classification on any of 2 datasets by MAP@R; by its own interval the same "
                     "within the margin on b"),
    ([BETTER] * 8, "SupCon is better than classification on at least 8 of 8 datasets by MAP@R (a, b, c, d, e and 3 more)"),
])
def test_the_sentence(gaps: list[tuple], sentence: str) -> None:
    assert concluded(*gaps).sentence == sentence


def test_one_seed_is_said() -> None:
    assert concluded(BETTER, BETTER, n_seeds=1).sentence.endswith("(a and b); another seed may well say otherwise")
    findings = (finding("a", BETTER), finding("b", BETTER, n_seeds=1))
    found = conclusion.conclude(Answers("A", "B", findings, (), (), ()))
    assert found.sentence.endswith("another seed may well say otherwise on b")


def test_a_later_look_counts_by_its_own_level() -> None:
    """p = 0.008 is below 1.25 %, which is all that a second look may spend, and counts as 0.032."""
    answer = finding("a", (0.05, 0.01, 0.09, 0.008, "better"))
    later = replace(answer, difference=replace(answer.difference, alpha=0.0125))
    assert concluded(UNSURE, (0.05, 0.01, 0.09, 0.008, "better")).better.count == 1
    found = conclusion.conclude(Answers("A", "B", (finding("b", UNSURE), later), (), (), ()))
    assert found.better.count == 0 and found.rows[1][5] == "0.032"


def test_what_holds_by_itself_may_not_hold_among_all() -> None:
    """An interval that leaves out zero by a hair, p = 0.04: enough of two datasets' one, not of two."""
    hair = (0.05, 0.001, 0.1, 0.04, "better")
    found = concluded(hair, UNSURE)
    assert found.sentence.startswith("Cannot tell")
    assert [row[-2:] for row in found.rows] == [["B is better", "cannot tell"], ["cannot tell", "cannot tell"]]
    assert found.better.p_of_at_least == pytest.approx((2 * 0.02, 0.25))
    assert concluded((0.05, 0.01, 0.1, 0.02, "better"), UNSURE).better.names == ("a",)


def test_a_dataset_that_is_the_same_by_its_own_verdict_counts_for_neither() -> None:
    found = concluded(SAME, SAME, SAME)
    assert (found.better.count, found.worse.count) == (0, 0)
    assert found.better.p_of_at_least == (1.0, 1.0, 1.0)


def test_by_fisher_more_datasets_are_counted_than_named() -> None:
    some = (0.05, -0.001, 0.1, 0.06, "cannot tell")
    found = concluded(some, some, some, some, combination="fisher")
    assert found.sentence == ("SupCon is better than classification on at least 3 of 4 datasets by MAP@R (which ones cannot "
                              "be told)")
    q = 0.03 * 0.03  # the two largest of four: q (1 − ln q)
    assert found.better.p_of_at_least[2:] == pytest.approx((q * (1 - math.log(q)), 0.03))
    assert concluded(some, some, some, some).better.count == 0
    both = concluded(BETTER, some, some, some, combination="fisher")
    assert "at least 3 of 4 datasets by MAP@R (among them a)" in both.sentence


def test_by_fisher_no_more_are_named_than_counted() -> None:
    """Holm would name a and b; Fisher, which takes the sum over all, counts none."""
    against = (-0.05, -0.07, -0.03, 0.001, "worse")
    found = concluded((0.05, 0.02, 0.1, 0.004, "better"), *[against] * 6, combination="fisher")
    assert found.better.count == 0 == len(found.better.names)
    assert concluded((0.05, 0.02, 0.1, 0.004, "better"), *[against] * 6).better.names == ("a",)


def test_the_forest_plot_has_each_interval_and_the_colour_of_what_holds_among_all() -> None:
    found = concluded(BETTER, UNSURE, WORSE)
    traces = figures.forest(found, "MAP@R").data
    ends = [(trace.x[0] - trace.error_x.arrayminus[0], trace.x[0] + trace.error_x.array[0]) for trace in traces]
    assert ends == [pytest.approx((3, 7)), pytest.approx((-2, 4)), pytest.approx((-7, -3))]
    assert [trace.marker.color for trace in traces] == [palette.ARM_B, palette.UNTRAINED, palette.ARM_A]
    layout = figures.forest(found, "MAP@R").layout
    assert list(layout.yaxis.ticktext) == ["a", "b", "c"]
    assert layout.yaxis.range[0] > layout.yaxis.range[1]  # the first at the top


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints"


def ask_all(*experiments: Experiment, **question: object) -> Answers:
    return same_question.ask(experiments, **question)


def reasons(*experiments: Experiment, **question: object) -> dict[str, str]:
    """Why each that does not count is left out."""
    return {item.experiment: item.why for item in ask_all(*experiments, **question).left_out}


def with_config(experiment: Experiment, **changes: object) -> Experiment:
    """The experiment with other settings written down, as if it had been run with them."""
    values = files.read_json(experiment.description_file)
    for key, value in changes.items():
        group = values["config"]
        *parts, last = key.split("__")
        for part in parts:
            group = group[part]
        group[last] = value
    files.write_json(experiment.description_file, values)
    return experiment


def test_each_dataset_has_its_own_verdicts_numbers(finished: Path, root: Path) -> None:
    a, b = (on_another_dataset(finished, root, name) for name in "ab")
    answers = ask_all(a, b)
    assert (answers.name_a, answers.name_b) == ("classification", "SupCon")
    for experiment, item in zip((a, b), answers.findings):
        [pair] = result.read(experiment).comparisons
        assert item.difference == pair.differences[0] and item.difference.metric == "map_at_r"
    assert answers.findings[0].dataset != answers.findings[1].dataset
    assert not answers.notes and not answers.left_out


def test_what_does_not_count_is_left_out_with_its_reason(finished: Path, root: Path) -> None:
    a, b, twin, unfinished, damaged, other, hotter, raw, none = (
        on_another_dataset(finished, root, name) for name in
        ("a", "b", "twin", "unfinished", "damaged", "other", "hotter", "raw", "none"))
    twin.manifest_file.write_bytes(a.manifest_file.read_bytes())
    for name in ("scores.parquet", "embeddings.parquet"):
        (unfinished.run("supcon-15-seed1").folder / name).unlink()
    damaged.description_file.write_text("{", encoding="utf-8")
    for experiment, objective in ((other, "arcface"), (hotter, {"name": "supcon", "temperature": 0.5})):
        with_config(experiment, objectives=tiny(objectives=["classification", objective]).to_json()["objectives"])
    with_config(raw, evaluation__normalize=False)
    for run in none.runs:
        (run.folder / "embeddings.parquet").unlink()
        (run.folder / "scores.parquet").unlink()
    found = reasons(a, b, twin, unfinished, damaged, other, hotter, raw, none)
    assert found.pop("damaged").startswith("is damaged: experiment.json must be JSON")
    assert found == {
        "twin": "has the images of a, which was named first; a dataset counts once",
        "unfinished": "is not finished: 1 of its 2 seeds have both arms",
        "other": "does not train SupCon; it trains classification, ArcFace",
        "hotter": "trains another SupCon: temperature 0.5, in a 0.1",
        "raw": "measures MAP@R otherwise: normalisation is no, in a yes",
        "none": "is not finished: 0 of its 2 seeds have both arms",
    }


def test_half_of_the_images_are_the_same_dataset_and_fewer_are_said(finished: Path, root: Path) -> None:
    n = len(Experiment(finished).manifest())
    a, b, c = (on_another_dataset(finished, root, name, n_shared=n_shared)
               for name, n_shared in (("a", -(-n // 2)), ("b", -(-n // 2)), ("c", 3)))
    answers = ask_all(a, b, c)
    assert [item.experiment for item in answers.left_out] == ["b"]
    assert answers.notes == ("a and c share 3 images.",)
    assert conclusion.conclude(answers).combination == "bonferroni"
    with pytest.raises(InputError, match="independent datasets must share no image, got: a and c share 3 images"):
        conclusion.conclude(answers, "fisher")


def test_what_else_differs_is_named(finished: Path, root: Path) -> None:
    a, b = (on_another_dataset(finished, root, name) for name in "ab")
    with_config(b, encoder__name="test_convnext", training__lr=0.001, evaluation__kmeans_seeds=9)
    [note] = ask_all(a, b).notes
    assert note == "The experiments differ in more than their datasets: encoder, learning rate."


def test_the_order_of_batches_is_part_of_what_an_arm_is_wherever_it_stands(finished: Path, root: Path) -> None:
    a, b, shuffled, each = (on_another_dataset(finished, root, name) for name in ("a", "b", "shuffled", "each"))
    with_config(shuffled, training__batch__order="shuffled")
    arms = [{"name": "classification", "order": "shuffled"}, {"name": "supcon", "order": "shuffled"}]
    with_config(each, objectives=tiny(objectives=arms).to_json()["objectives"])
    assert reasons(a, b, shuffled) == {"shuffled": "trains another classification: order shuffled, in a balanced"}
    wanted = same_question._Question(*shuffled.config.objectives, "shuffled", shuffled.config)
    labels = [same_question._label(each.config, objective, wanted) for objective in (wanted.a, wanted.b)]
    assert labels == list(each.config.arms), "the same, though said of each arm"


def test_a_leak_is_no_answer(finished: Path, root: Path) -> None:
    a, b, leaky = (on_another_dataset(finished, root, name) for name in ("a", "b", "leaky"))
    found = result.read(leaky)
    [pair] = found.comparisons
    result.write(leaky, replace(found, comparisons=(replace(pair, leaks_b=("a random split",)),)))
    assert reasons(a, b, leaky) == {"leaky": "has a random split: its numbers are too good"}


def test_fewer_than_two_datasets_are_refused_with_the_reasons(finished: Path, root: Path) -> None:
    a, twin = (on_another_dataset(finished, root, name) for name in ("a", "twin"))
    twin.manifest_file.write_bytes(a.manifest_file.read_bytes())
    with pytest.raises(InputError, match="two datasets or more that answer one question, got 1; twin has the images of a"):
        ask_all(a, twin)
    with pytest.raises(InputError, match="got 0; a has no trained arm 'x'; its trained arms are classification, supcon; twin"):
        ask_all(a, twin, arms=("classification", "x"))
    with pytest.raises(InputError, match="got 0; a was not run at 40 images per class, but at 15"):
        ask_all(a, twin, images_per_class=40)
    with pytest.raises(InputError, match="got 0; a is asked about one arm, 'supcon'; A and B must differ"):
        ask_all(a, twin, arms=("supcon", "supcon"))


def test_arms_in_the_other_order_turn_the_answer(finished: Path, root: Path) -> None:
    a, b = (on_another_dataset(finished, root, name) for name in "ab")
    there, back = ask_all(a, b), ask_all(a, b, arms=("supcon", "classification"))
    assert (back.name_a, back.name_b) == ("SupCon", "classification")
    for first, second in zip(there.findings, back.findings):
        assert second.difference.difference == pytest.approx(-first.difference.difference)


def test_several_datasets_are_told_by_their_files(finished: Path, root: Path) -> None:
    a, twin, b = (on_another_dataset(finished, root, name) for name in ("a", "twin", "b"))
    files.write_json(twin.description_file, {**twin.description, "fingerprint": a.description["fingerprint"]})
    assert datasets.fingerprint(a) == a.manifest().fingerprint != datasets.fingerprint(b)
    assert not datasets.are_several([a, twin])
    assert datasets.are_several([a, twin, b])
    b.verdict_file.unlink()
    assert not datasets.are_several([a, twin, b])
    b.description_file.write_text("{", encoding="utf-8")
    assert datasets.fingerprint(b) == ""


def test_a_new_experiment_is_seen_although_the_folder_was_remembered(finished: Path, root: Path) -> None:
    a, twin = (on_another_dataset(finished, root, name) for name in ("a", "twin"))
    files.write_json(twin.description_file, {**twin.description, "fingerprint": a.description["fingerprint"]})
    for path in (root, a.description_file, twin.description_file):
        os.utime(path, (1e9, 1e9))  # long ago, so that what they hold is remembered
    assert not datasets.are_several([a, twin]) and not datasets.are_several([a, twin])
    assert datasets.are_several([a, twin, on_another_dataset(finished, root, "b")])


def conclude(capsys: pytest.CaptureFixture[str], root: Path, *arguments: str) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main.main(["--checkpoints", str(root), "conclude", *arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_the_command_prints_sentence_table_and_what_is_left_out(finished: Path, root: Path,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    for name, gap in (("fungi", BETTER), ("pets", UNSURE), ("digits", BETTER)):
        on_another_dataset(finished, root, name, gap)
    (root / "digits" / "experiment.json").write_text("{", encoding="utf-8")
    code, printed, _ = conclude(capsys, root, "fungi", "pets", "digits")
    assert code == 0
    lines = printed.splitlines()
    assert lines[0] == "SupCon is better than classification on at least 1 of 2 datasets by MAP@R (fungi)."
    assert [line.split()[0] for line in lines[1:5:3]] == ["dataset", "pets"]
    assert "+3.0 to +7.0" in lines[3] and lines[3].rstrip().endswith("B is better")
    assert lines[5].startswith("Left out: digits is damaged: experiment.json must be JSON")
    assert lines[-1] == conclusion.NOT_COVERED
    values = json.loads(conclude(capsys, root, "fungi", "pets", "--json")[1])
    assert values["sentence"] == lines[0][:-1] and values["better"]["names"] == ["fungi"]
    assert [item["difference"]["p_value"] for item in values["findings"]] == [0.001, 0.5]
    assert "Fisher" in conclude(capsys, root, "fungi", "pets", "--independent")[1]


def test_the_command_refuses_in_one_line(finished: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    on_another_dataset(finished, root, "a")
    assert conclude(capsys, root, "a")[::2] == (2, "error: a conclusion must rest on two datasets or more that answer one "
                                                   "question, got 1\n")
    code, _, said = conclude(capsys, root, "a", "b")
    assert code == 2 and said.startswith("error: no experiment 'b'")

"""`split.repeats`: seeds trained and tested on several splits of the same digits, from the plan to the sentence."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import main
from core.analysis import repeated_splits
from core.analysis import table as tables
from core.analysis.metrics import HEADLINE
from core.config.dataset import SplitConfig
from core.data import split
from core.errors import InputError
from core.experiments import planning
from core.experiments.handles import Experiment
from core.jobs import more_seeds
from core.results import pairs, result, scoring, verdict
from core.results.repeated import Repeated
from tests.conftest import opened, run_in_process, tiny

SEEDS = (0, 1, 2)  # on splits 0, 1 and 0


@pytest.fixture(scope="module")
def repeated(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """A finished experiment of two splits. Read only."""
    config = tiny(split={"repeats": 2}, seeds=list(SEEDS), images_per_class=[10, 15],
                  budget={"images": 160, "epochs": 1})
    return Experiment(run_in_process(config, tmp_path_factory.mktemp("repeated")))


def test_each_seed_is_trained_and_tested_on_its_own_split(repeated: Experiment) -> None:
    manifests = [repeated.manifest(repeat=number) for number in range(2)]
    once = planning.plan(tiny()).manifest
    assert manifests[0].split.tolist() == once.split.tolist(), "the first is the one split of an experiment without repeats"
    tested = [set(manifest.sample_id[manifest.indices("test")].tolist()) for manifest in manifests]
    assert len(tested[0] & tested[1]) < len(tested[0]) / 2 and all(split.prove(manifest).holds for manifest in manifests)
    for run in repeated.runs:
        table, number = tables.read(run.embeddings_file), run.config.seed % 2
        assert set(table.of_split("test").sample_id.tolist()) == tested[number]
        trained = set(table.metadata["training_samples"])
        assert trained <= set(manifests[number].sample_id[manifests[number].indices("train")].tolist())
        assert set(scoring.read_scores(run).sample_id.tolist()) == tested[number]


def test_the_verdict_is_over_images_seeds_and_splits(repeated: Experiment) -> None:
    found = result.read(repeated)
    pair = found.pair("classification", "supcon", 15)
    assert pair is not None and found.sentence == pair.sentence
    assert "3 seeds on 2 splits, " in found.sentence and ", for images like these" in found.sentence
    headline = next(item for item in pair.differences if item.metric == HEADLINE)
    runs = {label: [scoring.read_scores(repeated.run(f"{label}-15-seed{seed}")) for seed in SEEDS]
            for label in ("classification", "supcon")}
    means = {label: [np.nanmean(scores.values[HEADLINE]) for scores in of_arm] for label, of_arm in runs.items()}
    assert (headline.a, headline.b) == pytest.approx(tuple(np.mean(of_arm) for of_arm in means.values()))
    tested = {name for scores in runs["supcon"] for name in scores.sample_id.tolist()}
    assert (headline.n_seeds, headline.n_splits, headline.n_samples) == (3, 2, len(tested))
    a, b = (scoring.arm(repeated, label, 15) for label in ("classification", "supcon"))
    assert isinstance(a, Repeated) and isinstance(b, Repeated) and a.split.tolist() == [0, 1, 0]
    of_a, of_b = a.drawn()[HEADLINE], b.drawn()[HEADLINE]
    drawn = repeated_splits.bootstrap([of_b - of_a], 200, 0, a.group, [(of_a, of_b)], split=a.split)
    assert (headline.low, headline.high) == pytest.approx((drawn.low[0], drawn.high[0]))
    row = found.arms(15)[0]
    assert (row.n_seeds, row.n_splits, row.n_test) == (3, 2, len(tested)) and len(row.probe) == 3
    assert {(item.label, item.n_splits) for item in pair.per_class} == {(label, 2) for label in "0123456789"}
    assert pair.agreement is not None and len(pair.agreement.overlap) == 3
    assert found.curve is not None and "3 seeds on 2 splits" in found.curve.pairs[0].sentence
    assert result.to_json(verdict.decide(repeated)) == result.to_json(found)


def test_pairs_and_commands_say_the_same(repeated: Experiment, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--checkpoints", str(repeated.root)]
    assert main.main([*root, "compare", "tiny/classification-15", "tiny/supcon-15", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["sentence"] == result.read(repeated).sentence and found["differences"][0]["n_splits"] == 2
    assert main.main([*root, "compare", "tiny/classification-15-seed0", "tiny/supcon-15-seed2", "--json"]) == 0
    assert ", for this split" in json.loads(capsys.readouterr().out)["sentence"], "two runs on one split"
    assert main.main([*root, "compare", "tiny/classification-15-seed0", "tiny/supcon-15-seed1"]) == 2
    assert "must be tested on the same split, got split 0 of" in capsys.readouterr().err
    runs = pairs.common_seeds(repeated, "classification", "supcon", 15)[0]
    with pytest.raises(InputError, match="seeds must be tested on the same samples"):
        scoring.scores_of_runs(runs, "classification")


@pytest.mark.parametrize(("page", "words"), [
    ("compare", "mean ± sd over 3 seeds on 2 splits; the 95 % interval is a bootstrap over splits, seeds and images"),
    ("data", "The first of 2 splits; seed s trains and is tested on split s mod 2"), ("watch", ""), ("explore", ""),
])
def test_screens_open_it_and_say_so(repeated: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str,
                                    words: str) -> None:
    monkeypatch.setenv("DUET_CHECKPOINTS", str(repeated.root))
    monkeypatch.setenv("DUET_DATA", str(tmp_path / "data"))
    app = opened(page, experiment="tiny")
    assert not app.exception and not app.error, [item.value for item in app.error]
    assert any(words in str(item.value).replace("\\", "") for item in app.caption)
    if page == "compare":
        assert app.header[0].value.replace("\\", "").startswith(result.read(repeated).sentence)


def test_the_report_says_what_it_holds_for(repeated: Experiment) -> None:
    text = repeated.report_file.read_text(encoding="utf-8")
    assert "for images like these" in text and "seed s on split s mod 2, of which the first: " in text
    assert "all seeds share one split" not in text and "Other training images as a whole" in text


def test_added_seeds_take_their_place_among_the_splits(repeated: Experiment, tmp_path: Path) -> None:
    grown = Experiment(Path(shutil.copytree(repeated.folder, tmp_path / "tiny")))
    assert more_seeds.add(grown, 2) == (3, 4)
    assert [set(grown.manifest(repeat=number).rank) for number in range(2)] == [{0, 1, 2, 3, 4}, {1, 3}], (
        "the first has the draws of all, each other those of its own")
    larger = planning.plan(tiny(split={"repeats": 2}, seeds=[0, 1, 2, 3, 4]))
    assert np.array_equal(grown.manifest(repeat=1).rank[3], larger.repeats[0].rank[3])
    assert [run.config.repeat for run in grown.runs[-3:]] == [0, 0, 0]
    assert grown.manifest(repeat=1).split.tolist() == repeated.manifest(repeat=1).split.tolist()


def test_one_split_is_as_it_was() -> None:
    assert SplitConfig().repeats == 1
    assert planning.plan(tiny()).repeats == ()

"""An experiment on a table of queries and a gallery, from its file to what Compare says."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from core.analysis import retrieval
from core.analysis import table as tables
from core.cli import follow
from core.experiments.handles import Experiment
from core.results import readouts, scoring, verdict
from tests.conftest import run_in_process
from tests.unit.test_query_gallery import identities, of_people


def test_all_say_how_many_queries_ask_how_many_images(tmp_path: Path, screen: Callable[..., AppTest],
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_in_process(of_people(identities(tmp_path / "images")), tmp_path)
    experiment = Experiment(folder)
    for run in experiment.runs:
        space = tables.read(run.embeddings_file)
        assert space.role is not None and sorted(set(space.role[space.split == "test"].tolist())) == ["gallery", "query"]
        scores = scoring.read_scores(run)
        test = space.of_split("test")
        values = retrieval.retrieve(test.embedding, test.label_id, "cosine", test.group, retrieval.roles_of(test.role))
        of = dict(zip(test.sample_id.tolist(), values["map_at_r"].tolist()))
        assert np.array_equal(scores.values["map_at_r"][0], [of[name] for name in scores.sample_id.tolist()], equal_nan=True)
        pooled = next(item for item in readouts.read(run) if item.place == "pooled" and item.is_unit)
        assert np.isclose(pooled.scores["map_at_r"], np.nanmean(values["map_at_r"]), atol=1e-6)
    told = verdict.read(experiment)
    counts = [(row.n_test, row.own_group.n_queries, row.own_group.n_gallery) for row in told.rows if row.own_group]
    assert counts == [(36, 18, 18)] * 3
    assert "18 test images" in told.sentence
    app = screen("compare", experiment="people")
    said = "Retrieval scores: 18 queries against 18 gallery images, out of 36 test images."
    assert said in [item.value for item in app.caption]
    assert said in experiment.report_file.read_text(encoding="utf-8")
    assert follow.conclude(experiment, argparse.Namespace(json=False)) == 0
    assert said in capsys.readouterr().out.splitlines()

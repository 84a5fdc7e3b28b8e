"""The cluster of each image: the first clustering that is scored, whatever the order of the manifest."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from core.analysis import clustering
from core.analysis import table as tables
from core.data.manifest import OPEN, Manifest
from core.experiments.handles import Run
from core.results import clusters, scoring
from tests.unit.test_split import make


def shuffled(seed: int) -> tuple[Manifest, np.ndarray]:
    """Samples in an order that is not that of their names, some held out; and vectors in which K-means finds no classes."""
    generator = np.random.default_rng(seed)
    manifest = make([*"abcd"] * 60)
    names = np.array([f"{place:03d}" for place in generator.permutation(240)], dtype=object)
    split = generator.choice(np.array(["train", "validation", "test"], dtype=object), 240)
    split[manifest.label == "d"] = OPEN
    return replace(manifest, sample_id=names, split=split), generator.standard_normal((240, 5)).astype(np.float32)


@pytest.mark.parametrize("name, labels", [("test", "abc"), (OPEN, "d")])
@pytest.mark.parametrize("seed", range(5))
def test_clusters_are_those_of_samples_in_the_order_of_their_names(seed: int, name: str, labels: str) -> None:
    manifest, vectors = shuffled(seed)
    found = clusters.of_images(vectors, manifest)
    rows = np.array(sorted(manifest.indices(name), key=lambda row: manifest.sample_id[row]))
    classes = np.unique(manifest.label_id[rows])
    assert "".join(manifest.classes[item] for item in classes) == labels
    label_id = np.searchsorted(classes, manifest.label_id[rows])
    expected = classes[clustering.matched_kmeans(vectors[rows], label_id, len(classes), 0)[0]]
    assert found[rows].tolist() == expected.tolist()


@pytest.mark.parametrize("seed", range(5))
def test_clusters_do_not_depend_on_the_order_of_the_manifest(seed: int) -> None:
    manifest, vectors = shuffled(seed)
    order = np.argsort(manifest.sample_id.astype(str))
    columns = ("sample_id", "label", "group", "digest", "picture", "official", "split")
    by_name = replace(manifest, **{column: getattr(manifest, column)[order] for column in columns})
    assert clusters.of_images(vectors, manifest)[order].tolist() == clusters.of_images(vectors[order], by_name).tolist()


def test_the_tables_clusters_are_the_first_that_are_scored(finished: Path) -> None:
    for name in ("untrained-15-seed0", "supcon-15-seed1"):
        scores = scoring.read_scores(Run(finished / name))
        table = tables.read(finished / name / "embeddings.parquet")
        cluster = dict(zip(table.sample_id.tolist(), table.cluster.tolist()))
        assert [cluster[sample_id] for sample_id in scores.sample_id] == scores.clusters[0, 0].tolist()


def test_a_class_without_test_images_is_a_cluster_as_it_is_where_scores_are_made(finished: Path) -> None:
    table = tables.read(finished / "supcon-15-seed0" / "embeddings.parquet")
    table = table.rows(~((table.split == "test") & (table.label == "3")) & np.isin(table.split, ["train", "test"]))
    table = replace(table, metadata={**table.metadata, "training_samples": None})
    manifest = replace(make(table.label), sample_id=table.sample_id, split=table.split)
    found = dict(zip(table.sample_id.tolist(), clusters.of_images(table.embedding, manifest).tolist()))
    scores = scoring.score(table)
    assert [found[sample_id] for sample_id in scores.sample_id] == scores.clusters[0, 0].tolist()

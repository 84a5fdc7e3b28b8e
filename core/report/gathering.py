"""Gathers what the report of an experiment says, from what its runs left behind, and writes it.

Reads experiments and images; the page itself is `core.report.experiment`'s.
"""

import io
import shlex
from contextlib import suppress
from pathlib import Path

import numpy as np

from core.analysis import projection
from core.analysis import table as tables
from core.config import BatchConfig, ExperimentConfig, arm_title
from core.data import separation, sources, split
from core.errors import InputError
from core.experiments import openings, trials
from core.experiments.handles import Experiment, Run
from core.results import pairs, readouts, scoring, verdict
from core.results.result import Pair, Verdict

MOST_EXAMPLES = 12
_THUMBNAIL = 128  # pixels


def write(experiment: Experiment, output: Path, pair: tuple[str, str, int | str] | None = None, found: Verdict | None = None,
          ) -> None:
    """Writes an experiment's report: one self-contained page.

    Args:
        experiment: which one.
        output: the .html file.
        pair: labels of A and B and their images per class; None for the pair of the experiment's own sentence.
        found: what `verdict.decide` says of the experiment; None to read it.

    Raises:
        InputError: if that pair, or any, has not finished yet.
        NotFound: if the experiment's dataset is missing.
    """
    from core.report import experiment as report  # plotly takes half a second to import: only here

    config, found = experiment.config, found or verdict.read(experiment)
    told = _told(experiment, found, pair)
    count, open_pair = told.images_per_class, found.open_pair(told.label_a, told.label_b, told.images_per_class)
    runs = dict(zip("ab", pairs.common_seeds(experiment, told.label_a, told.label_b, count)))
    a, b = tables.shared_rows([tables.read(runs[side][0].embeddings_file).of_split("test") for side in "ab"])
    layouts = (a.layout, projection.align(b.layout, a.layout).astype(np.float32))
    won, lost = _examples(config, told, runs)
    report.write(report.Report(
        name=experiment.name, title_a=told.name_a, title_b=told.name_b, arms=config.arms, frozen=config.frozen_arms,
        images_per_class=count,
        seed=runs["a"][0].config.seed, comparison=told,
        others=tuple(item for item in found.comparisons if item.sentence != told.sentence), rows=found.arms(count),
        asked=found.asked(count), training_worth=found.worth_of_training(count),
        open_training_worth=found.worth_of_training(count, is_open=True),
        curve=found.curve, open_pair=open_pair, open_rows=found.open_arms(count),
        readouts=readouts.rows(experiment, config, count), spaces=(a, b), layouts=layouts, won=won, lost=lost,
        protocol=_protocol(experiment, config), openings=openings.sentence(experiment),
        trials=trials.sentence(experiment, [run.config for side in "ab" for run in runs[side]]),
        limits=_limits(experiment, config, told), command=_command(experiment), config=config.to_yaml(),
        versions=_versions(experiment)), output)


def _told(experiment: Experiment, found: Verdict, pair: tuple[str, str, int | str] | None) -> Pair:
    """The entry of the pair to tell of in full; compared here if the experiment's verdict has none of it."""
    if pair is None:
        entry = next((item for item in found.comparisons if item.sentence == found.sentence), None)
        if entry is None:
            raise InputError(f"an experiment to report must have two finished objectives to compare, got none in "
                             f"{experiment.name!r}")
        return entry
    return pairs.said(experiment, found, *pair)


def _examples(config: ExperimentConfig, told: Pair, runs: dict[str, list[Run]]) -> tuple[list, list]:
    """Test images that k-NN gets right in B alone, and in A alone, in the most seeds first."""
    from core.report.experiment import Example

    scores = {side: scoring.arm_of_runs(runs[side], name) for side, name in (("a", told.name_a), ("b", told.name_b))}
    shared, place_a, place_b = np.intersect1d(scores["a"].sample_id.astype(str), scores["b"].sample_id.astype(str),
                                              return_indices=True)
    right_a, right_b = (scores[side].values["knn_accuracy"][:, places] for side, places in (("a", place_a), ("b", place_b)))
    gained = np.nanmean(right_b, axis=0) - np.nanmean(right_a, axis=0)
    manifest = runs["a"][0].experiment.manifest()
    label = dict(zip(manifest.sample_id.tolist(), manifest.label.tolist()))
    digest = dict(zip(manifest.sample_id.tolist(), manifest.digest.tolist()))
    source = None
    with suppress(OSError, InputError):  # the images have gone: the report stands without them
        source = sources.open_source(config.dataset, manifest.levels)

    def example(place: int) -> Example:
        sample_id = str(shared[place])
        said = ", ".join(f"{name} right in {int(np.nansum(right[:, place]))} of {int((~np.isnan(right[:, place])).sum())}"
                         for name, right in (("A", right_a), ("B", right_b)))
        return Example(sample_id, label[sample_id], said, _jpeg(source, sample_id, digest[sample_id]))

    order = np.argsort(-gained, kind="stable")
    won = [example(place) for place in order[:MOST_EXAMPLES] if gained[place] > 0]
    lost = [example(place) for place in order[::-1][:MOST_EXAMPLES] if gained[place] < 0]
    return won, lost


def _jpeg(source: sources.Source | None, sample_id: str, digest: str) -> bytes:
    """A thumbnail; nothing if the image's file, or all of the images, have gone, or it is no longer the sample."""
    if source is None:
        return b""
    try:
        image = source.image(sample_id, digest)
    except (OSError, ValueError):
        return b""
    if max(image.size) < _THUMBNAIL:
        scale = _THUMBNAIL // max(image.size)
        image = image.resize((image.width * scale, image.height * scale), 0)  # 0: nearest, as for a digit of 8 pixels
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def _protocol(experiment: Experiment, config: ExperimentConfig) -> dict[str, str]:
    manifest, training = experiment.manifest(), config.training
    proof = split.prove(manifest)
    sizes = [f"{len(manifest.indices(name)):,} {name}" for name in ("train", "validation", "test")]
    weights = config.encoder.weights if config.encoder.weights_file is None else config.encoder.weights_file.name
    run = config.runs()[0]
    root = f", {config.dataset.root}" if config.dataset.root else ""
    return {
        "dataset": f"{config.dataset.source}{root}: {len(manifest):,} images, {len(manifest.classes)} classes, "
                   f"{len(set(manifest.group.tolist())):,} groups",
        "split": f"{_of_splits(config)}{', '.join(sizes)}; shared between them: {proof.shared_samples} images, "
                 f"{proof.shared_groups} groups, {proof.shared_pictures} pictures; {separation.sentence(manifest)}",
        "images per class": ", ".join(str(count) for count in config.images_per_class),
        "seeds": ", ".join(str(seed) for seed in config.seeds),
        "encoder": f"{config.encoder.name}, weights: {weights}",
        "objectives": "; ".join(f"{arm_title(item)} ({_parameters(item.model_dump(exclude={'name', 'label'}))})"
                                for item in config.objectives),
        "budget": f"{run.n_steps * run.images_per_step:,} images a run, in {run.n_steps:,} steps of {run.images_per_step}",
        "batch": f"{_batch(training.batch)}{f' × {training.views} views' if training.views > 1 else ''}",
        "optimizer": f"{training.optimizer}, learning rate {training.lr:g}, weight decay {training.weight_decay:g}",
        "normalisation": f"running statistics {training.norm}",
        "readout": f"pooled features, {'of length 1' if config.evaluation.normalize else 'as they are'}",
    }


def _of_splits(config: ExperimentConfig) -> str:
    n_splits = config.split.repeats
    return f"seed s on split s mod {n_splits}, of which the first: " if n_splits > 1 else ""


def _batch(batch: BatchConfig) -> str:
    if batch.order == "shuffled":
        return f"{batch.size} images, shuffled"
    return f"{batch.classes} classes × {batch.samples}"


def _parameters(values: dict) -> str:
    given = [f"{key.replace('_', ' ')} {value}" for key, value in values.items() if value is not None]
    return ", ".join(given) or "no parameter"


def _limits(experiment: Experiment, config: ExperimentConfig, told: Pair) -> list[str]:
    """What a reader might take the report for, and should not."""
    first = told.differences[0]
    limits = [
        "Other images, another encoder, another budget or other parameters of the objectives: each may turn the verdict.",
        "Another split of the same images: the interval is over seeds and test images, and all seeds share one split."
        if first.n_splits == 1 else
        "Other training images as a whole: splits of the same images share most of them, so the interval leaves it out.",
        "Copies that were mirrored, rotated or cropped are not found, and may stand on both sides of the split.",
    ]
    if first.n_seeds < 3:
        limits.insert(0, f"What luck of the seed does: with {first.n_seeds} "
                         f"{'seed' if first.n_seeds == 1 else 'seeds'} it can hardly be told.")
    if not separation.has_groups(experiment.manifest()):
        limits.append("Whether images belong together in a way that nobody named: each was taken for a group of its own.")
    if config.split.held_out_classes:
        limits.append("Other held-out classes: the open-set interval is over seeds and images of these classes alone.")
    if config.evaluation.flip:
        limits.insert(0, "Numbers that repeat: images were mirrored by chance as they were embedded, as the study did.")
    limits.append("That a space which clusters well is a good one: spaces of MAP@R 0.68 and 0.99 can both reach a K-means "
                  "accuracy of 1.00.")
    return limits


def _command(experiment: Experiment) -> str:
    return f"python main.py --config {shlex.quote(experiment.name + '.yaml')}    # the file below"


def _versions(experiment: Experiment) -> dict[str, str]:
    """What the experiment was laid out with; of what its file does not hold as it should, that it does not."""
    kept = experiment.description
    versions, commit, fingerprint = (kept.get(key) for key in ("versions", "git_commit", "fingerprint"))
    lacking = f"not readable in {experiment.description_file.name}"
    found = {str(name): str(version) for name, version in versions.items()} if isinstance(versions, dict) else {
        "versions": lacking}
    if commit:
        found["commit"] = commit[:12] if isinstance(commit, str) else lacking
    return {**found, "dataset": fingerprint if isinstance(fingerprint, str) else lacking}

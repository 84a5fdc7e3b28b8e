"""Scores summed up: means with intervals, chance levels, and what `evaluation.json` says of a run."""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np

from core import scored_by
from core.analysis import chance, comparison
from core.analysis.chance import Chance
from core.analysis.comparison import Interval, Values
from core.analysis.metrics import HEADLINE, METRICS, SPACE_METRICS, MetricInfo
from core.files import Json
from core.results.repeated import AnyScores, Repeated
from core.results.result import OwnGroup
from core.results.scores import Scores


def parts_of(scores: AnyScores) -> tuple[Scores, ...]:
    """The scores of each split."""
    return scores.parts if isinstance(scores, Repeated) else (scores,)


def summarize(scores: AnyScores, n_bootstrap: int) -> dict[str, Interval]:
    """Mean, 95 % interval and sd over seeds of every metric of `METRICS`."""
    return _summary(scores.drawn(), METRICS, scores, n_bootstrap)


def summarize_by_class(scores: AnyScores, n_bootstrap: int) -> dict[str, Interval]:
    """The same of the macro averages, in which each class counts alike; of the metrics of `SHORT` that are defined."""
    return _summary(scores.drawn_by_class(), METRICS, scores, n_bootstrap)


def summarize_space(scores: AnyScores, n_bootstrap: int) -> dict[str, Interval]:
    """The same of `SPACE_METRICS`; without those that are undefined."""
    return _summary(scores.space, SPACE_METRICS, scores, n_bootstrap)


def _summary(values: Values, registry: dict[str, MetricInfo], scores: AnyScores, n_bootstrap: int) -> dict[str, Interval]:
    defined = values if scores.split is not None else {
        name: column for name, column in values.items() if not np.isnan(column).any(axis=0).all()}
    if not defined:
        return {}
    bounds = {name: info.bounds for name, info in registry.items()}
    return comparison.intervals(defined, bounds, n_bootstrap, group=scores.group, split=scores.split)


def chance_levels(scores: AnyScores, n_bootstrap: int) -> dict[str, Chance]:
    """What every metric that knows classes would be with permuted labels, and whether it is no better; over seeds, the mean
    level; over splits, whether it is no better for most seeds."""
    if isinstance(scores, Repeated):
        of_parts = [chance_levels(part, n_bootstrap) for part in scores.parts]
        levels = scores.over_seeds([{name: item.level for name, item in each.items()} for each in of_parts])
        at_chance = scores.over_seeds([{name: item.is_at_chance for name, item in each.items()} for each in of_parts])
        return {name: Chance(level, at_chance[name] > 0.5) for name, level in levels.items()}
    low_is_best = tuple(name for name, info in (METRICS | SPACE_METRICS).items() if info.is_low_best)
    return {**chance.of_values(scores.drawn() | scores.space, scores.expected, n_bootstrap, scores.group, low_is_best),
            **scores.of_clusters}


def evaluation(scores: Scores, n_bootstrap: int) -> Json:
    """Every number shown about one run's space, for JSON: means with intervals, over all test samples and by class, chance
    levels, and how far K-means runs differ; `own_group` is an `OwnGroup`."""
    over_runs = (scores.clusters[0] == scores.label_id).mean(axis=1)
    per_class = [{"label": label, "n_samples": int(rows.sum()),
                  **{name: float(np.nanmean(column[:, rows])) for name, column in scores.values.items()
                     if not np.isnan(column[:, rows]).all()}}
                 for label in sorted(set(scores.label.tolist())) for rows in [scores.label == label]]
    return {scored_by.KEY: scored_by.VERSION, "split": "test", "n_samples": len(scores.sample_id),
            "own_group": asdict(own_group_counts(scores)), "metrics": _json(summarize(scores, n_bootstrap)),
            "macro": _json(summarize_by_class(scores, n_bootstrap)), "probe": [asdict(choice) for choice in scores.probe],
            "space": _json(summarize_space(scores, n_bootstrap)), "per_class": per_class,
            "kmeans": {"n_seeds": len(over_runs), "mean": float(over_runs.mean()),
                       "sd": float(over_runs.std(ddof=1)) if len(over_runs) > 1 else 0.0},
            "chance": _json(chance_levels(scores, n_bootstrap))}


def open_evaluation(scores: Scores, n_bootstrap: int) -> Json:
    """The same of the held-out classes among themselves, as far as they have it."""
    return {"n_samples": len(scores.sample_id), "own_group": asdict(own_group_counts(scores)),
            "metrics": _json(summarize(scores, n_bootstrap)), "macro": _json(summarize_by_class(scores, n_bootstrap))}


def _json(values: Mapping[str, Interval | Chance]) -> Json:
    return {name: asdict(item) for name, item in values.items()}


def own_group_counts(scores: AnyScores) -> OwnGroup:
    """What leaving out a query's own group comes to; over splits, of the images that some split tests."""
    if isinstance(scores, Repeated):
        n_images = len(scores.sample_id)
        return OwnGroup(n_groups=len(set(scores.group.tolist())),
                        n_undefined=n_images - int(scores.defined()[HEADLINE].sum()), n_queries=n_images, n_gallery=n_images,
                        counted=scores.over_seeds([own_group_counts(part).counted for part in scores.parts]))
    is_query = scores.roles.is_query
    return OwnGroup(n_groups=len(set(scores.group.tolist())),
                    n_undefined=int(np.isnan(scores.values[HEADLINE][0][is_query]).sum()),
                    n_queries=int(is_query.sum()), n_gallery=int(scores.roles.is_gallery.sum()),
                    counted={name: float(np.nanmean(column)) for name, column in scores.with_own_group.items()
                             if not np.isnan(column).all()})

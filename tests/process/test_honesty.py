"""Is the verdict honest? Pairs of spaces that differ by seed alone cannot be told apart; a real gap is found; the interval of
a difference covers the truth. On spaces drawn from known populations, and on encoders really trained on digits.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from core.analysis import comparison, retrieval
from core.analysis.metrics import METRICS
from core.results import scoring
from tests.conftest import run_experiment, tiny
from tests.populations import Population, measured_arm, scores


def told_apart(n_seeds: int, n_pairs: int, n: int) -> Counter:
    """How many of so many pairs of arms, which differ by seed alone, are called better or worse, metric by metric."""
    found: Counter = Counter({metric: 0 for metric in METRICS})
    for trial in range(n_pairs):
        population = Population(8, 12, trial, seed_noise=0.7)
        images, label_id = population.draw(2 * n)
        a, b = (scores(name, measured_arm(population, images[:n], label_id[:n], images[n:], label_id[n:], n_seeds),
                       label_id[:n]) for name in "ab")
        for item in comparison.compare(a.drawn(), b.drawn(), 1000, margin=0.01):
            found[item.metric] += item.verdict in ("better", "worse")
    return found


@pytest.mark.parametrize("n_seeds", [1, 3])
def test_spaces_that_differ_by_seed_alone_are_rarely_told_apart(n_seeds: int) -> None:
    found = told_apart(n_seeds, 30, 120)
    assert max(found.values()) <= 5, found  # of 30, at one in twenty: six or more in 3 of 1000 tries


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_200_pairs_that_differ_by_seed_alone(n_seeds: int) -> None:
    found = told_apart(n_seeds, 200, 300)
    print({metric: f"{100 - count / 2:.1f} % cannot tell" for metric, count in found.items()})
    assert max(found.values()) <= 0.06 * 200, found


def gap_of(population: Population, more_noise: float, n: int) -> float:
    """How much P@1 falls with more noise, in a draw of n images."""
    images, label_id = population.draw(n)
    before, after = (retrieval.retrieve(population.space(images, extra), label_id)["precision_at_1"].mean()
                     for extra in (0.0, more_noise))
    return float(before - after)


def found_gaps(n_seeds: int, n_pairs: int, n: int, points: float) -> tuple[Counter, float]:
    """How many of so many pairs with a gap in P@1 of so many points are told apart the right way, and the mean gap."""
    low, high = 0.0, 1.5
    for _ in range(10):  # the noise that costs so many points, in the mean over the pairs' populations
        middle = (low + high) / 2
        gap = np.mean([gap_of(Population(8, 24, 1000 + trial, seed_noise=0.5), middle, n) for trial in range(n_pairs)])
        low, high = (low, middle) if gap > points / 100 else (middle, high)
    found: Counter = Counter()
    gaps = []
    for trial in range(n_pairs):
        population = Population(8, 24, 1000 + trial, seed_noise=0.5)
        images, label_id = population.draw(2 * n)
        a, b = (scores(name, measured_arm(population, images[:n], label_id[:n], images[n:], label_id[n:], n_seeds, 1,
                                          lambda _, extra=extra: extra), label_id[:n])
                for name, extra in (("a", middle), ("b", 0.0)))
        differences = comparison.compare(a.drawn(), b.drawn(), 2000)
        found.update(item.metric for item in differences if item.verdict == "better")
        gaps.append(next(item.difference for item in differences if item.metric == "precision_at_1"))
    return found, float(np.mean(gaps))


@pytest.mark.slow
@pytest.mark.parametrize("n_seeds", [1, 3])
def test_a_gap_of_five_points_on_1500_images_is_found(n_seeds: int) -> None:
    found, gap = found_gaps(n_seeds, 40, 1500, points=5)
    print(f"{100 * gap:.1f} points", {metric: f"{100 * count / 40:.0f} %" for metric, count in found.items()})
    assert 0.045 < gap < 0.055
    assert found["precision_at_1"] >= 0.9 * 40


def called_same(n_pairs: int, n: int, gap: float, margin: float = 0.03) -> Counter:
    """How many of so many pairs of arms, of three seeds each, are called the same, metric by metric.

    Args:
        n_pairs: pairs, each of a population of its own.
        n: test images.
        gap: by how much A is truly worse on MAP@R, 0 to 1.
        margin: the least difference that matters, 0 to 1.
    """
    found: Counter = Counter({metric: 0 for metric in METRICS})
    for trial in range(n_pairs):
        more_noise = _noise_that_costs(gap, trial) if gap else 0.0
        population = Population(8, 24, 1000 + trial, seed_noise=0.5)
        images, label_id = population.draw(2 * n)
        a, b = (scores(name, measured_arm(population, images[:n], label_id[:n], images[n:], label_id[n:], 3, 1,
                                          lambda _, extra=extra: extra), label_id[:n])
                for name, extra in (("a", more_noise), ("b", 0.0)))
        found.update(item.metric for item in comparison.compare(a.drawn(), b.drawn(), 2000, margin=margin)
                     if item.verdict == "same")
    return found


def _noise_that_costs(gap: float, trial: int) -> float:
    """The noise that costs one population so much MAP@R, by halves, each on another 2,000 images."""
    population = Population(8, 24, 1000 + trial, seed_noise=0.5)
    low, high = 0.0, 1.5
    for _ in range(10):
        middle = (low + high) / 2
        images, label_id = population.draw(2000)
        before, after = (retrieval.retrieve(population.space(images, extra), label_id)["map_at_r"].mean()
                         for extra in (0.0, middle))
        low, high = (low, middle) if before - after > gap else (middle, high)
    return (low + high) / 2


@pytest.mark.slow
def test_equal_pairs_on_1500_images_are_called_the_same_within_three_points() -> None:
    found = called_same(40, 1500, gap=0.0)
    print({metric: f"{100 * count / 40:.0f} % the same" for metric, count in found.items()})
    assert found["map_at_r"] >= 0.8 * 40


@pytest.mark.slow
def test_pairs_that_differ_by_the_margin_are_rarely_called_the_same() -> None:
    found = called_same(40, 1500, gap=0.03)
    print({metric: f"{100 * count / 40:.0f} % the same" for metric, count in found.items()})
    assert found["map_at_r"] <= 0.05 * 40


@pytest.mark.slow
def test_encoders_trained_on_digits_that_differ_by_seed_alone(tmp_path: Path) -> None:
    """120 runs of one objective through the real worker: three seeds against three others, drawn 200 times."""
    config = tiny(name="null", objectives=["supcon"], images_per_class=["all"], seeds=list(range(120)),
                  evaluation={"kmeans_seeds": 10, "bootstrap": 2000, "probe": 3})
    folder = run_experiment(config, tmp_path, seconds=3600)
    runs = [folder / f"supcon-all-seed{seed}" for seed in range(120)]
    generator = np.random.default_rng(0)
    for n_seeds in (3, 1):
        found: Counter = Counter({metric: 0 for metric in METRICS})
        for _ in range(200):
            drawn = generator.permutation(120)[:2 * n_seeds]
            a, b = (scoring.scores_of_runs([runs[place] for place in part], "supcon") for part in np.split(drawn, 2))
            for item in comparison.compare(a.drawn(), b.drawn(), 1000, a.group):
                found[item.metric] += item.verdict != "cannot tell"
        print(f"{n_seeds} against {n_seeds}:", {metric: f"{100 - count / 2:.1f} % cannot tell" for metric, count in
                                                found.items()})
        if n_seeds == 3:
            assert max(found.values()) <= 0.06 * 200, found
    assert found["map_at_r"] > 0.2 * 200, "of one seed the interval covers images alone, and the sentence says so"

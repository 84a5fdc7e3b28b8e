"""Do intervals of thresholds hold the truth? In drawn populations of photographs and crops whose rates are known. Slow."""

import numpy as np
import pytest

from core.analysis.verification import Images, measure
from core.results import same_or_not, thresholds
from core.results.thresholds import SameOrNot, Thresholds

N_CLASSES, WIDTH, CROPS, AIMED = 10, 12, 3, 0.01
CENTERS = np.random.default_rng(0).normal(size=(N_CLASSES, WIDTH))


def photographs(generator: np.random.Generator, n: int, crops: int = CROPS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Crops of n photographs of random classes: points, classes and photographs."""
    label_id = np.repeat(generator.integers(0, N_CLASSES, n), crops)
    photograph = np.repeat(np.arange(n), crops)
    middle = np.repeat(generator.normal(0, 0.55, (n, WIDTH)), crops, axis=0)
    return CENTERS[label_id] + middle + generator.normal(0, 0.25, (n * crops, WIDTH)), label_id, photograph


def space(generator: np.random.Generator, points: np.ndarray, noise: float) -> np.ndarray:
    return (points + generator.normal(0, noise, points.shape)).astype(np.float32)


def measured(validation: Images, test: Images) -> Thresholds:
    """What `thresholds.make` gives of two splits, without a table."""
    found = measure(validation, test, AIMED)
    n = len(validation.vectors), len(test.vectors)
    influence = {name: np.concatenate([np.full(n[0], np.nan), rate.influence]) for name, rate in found.rates.items()}
    influence[thresholds.CHOICE] = np.concatenate([found.choice, np.full(n[1], np.nan)])
    names = np.concatenate([[f"validation {row}" for row in validation.group], [f"test {row}" for row in test.group]])
    kept = SameOrNot(found.threshold, found.why_not, found.n_pairs, found.n_groups, found.on_validation, found.n_same,
                     found.n_different, found.equal_error, tuple(found.curve.tolist()))
    return Thresholds(AIMED, names, names, np.repeat(["validation", "test"], n), {
        name: rate.value for name, rate in found.rates.items()}, influence, kept, None)


class Truth:
    """The rates of a noise in two million pairs of each kind, no two of which share an image."""

    def __init__(self, noise: float, n: int = 2_000_000) -> None:
        generator = np.random.default_rng([7, int(1000 * noise)])
        spread = np.sqrt(0.55 ** 2 + 0.25 ** 2 + noise ** 2)

        def cosines(first: np.ndarray, second: np.ndarray) -> np.ndarray:
            a, b = (CENTERS[label_id] + generator.normal(0, spread, (n, WIDTH)) for label_id in (first, second))
            return np.sort((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1))

        label_id = generator.integers(0, N_CLASSES, n)
        self.same = cosines(label_id, label_id)
        self.different = cosines(label_id, (label_id + generator.integers(1, N_CLASSES, n)) % N_CLASSES)
        self.true_accept = self.at(self.same, float(np.quantile(self.different, 1 - AIMED)))
        self.auroc = float(np.searchsorted(self.different, self.same).mean() / n)

    @staticmethod
    def at(cosine: np.ndarray, threshold: float) -> float:
        return float(1 - np.searchsorted(cosine, threshold) / len(cosine))


def coverage(n_rounds: int, n_validation: int, n_test: int, noise_a: float, noise_b: float, n_seeds: int,
             n_bootstrap: int = 1000) -> dict[str, float]:
    """How often each interval holds the truth."""
    truths = {noise: Truth(noise) for noise in {noise_a, noise_b}}
    held: dict[str, list[bool]] = {}
    for number in range(n_rounds):
        generator = np.random.default_rng([11, number])
        splits = [photographs(generator, n) for n in (n_validation, n_test)]
        arms = [[measured(*(Images(space(generator, points, noise), label_id, photograph)
                            for points, label_id, photograph in splits)) for _ in range(n_seeds)]
                for noise in (noise_a, noise_b)]
        compared = same_or_not.compare("A", arms[0], "B", arms[1], n_bootstrap)
        for name, side, noise in (("a", compared.a, noise_a), ("b", compared.b, noise_b)):
            truth = truths[noise]
            at = [item.threshold for item in side.same_or_not]
            true = {"true_accept": np.mean([truth.at(truth.same, value) for value in at]),
                    "false_accept": np.mean([truth.at(truth.different, value) for value in at]), "auroc": truth.auroc}
            for rate, value in true.items():
                held.setdefault(f"{name} {rate}", []).append(side.rates[rate].low <= value <= side.rates[rate].high)
        for rate, gap in compared.differences.items():
            true_gap = {"true_accept": truths[noise_b].true_accept - truths[noise_a].true_accept,
                        "auroc": truths[noise_b].auroc - truths[noise_a].auroc}.get(rate)
            if true_gap is not None:
                held.setdefault(f"B − A {rate}", []).append(gap.low <= true_gap <= gap.high)
    return {name: float(np.mean(values)) for name, values in held.items()}


@pytest.mark.slow
@pytest.mark.parametrize(("n_validation", "n_test", "noise_b", "n_seeds"), [
    (60, 120, 0.3, 1), (60, 120, 0.4, 1), (60, 120, 0.3, 3), (60, 120, 0.4, 3), (20, 60, 0.4, 1)])
def test_intervals_hold_the_truth(n_validation: int, n_test: int, noise_b: float, n_seeds: int) -> None:
    found = coverage(200 if n_seeds == 1 else 100, n_validation, n_test, 0.3, noise_b, n_seeds)
    print(f"\n{n_validation} photographs choose, {n_test} judge, {n_seeds} seeds, noise 0.3 and {noise_b}: "
          + ", ".join(f"{name} {100 * value:.1f} %" for name, value in found.items()))
    assert min(found.values()) >= 0.88 and max(found.values()) <= 1

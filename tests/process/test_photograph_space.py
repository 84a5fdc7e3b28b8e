"""A space that knows the photograph and nothing of the class has learnt nothing that retrieval asks for: it is at chance, and
never better."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

from core.analysis import chance, comparison, retrieval
from core.analysis.comparison import Values
from tests import SHARED

DEFUNGI = SHARED / "data" / "defungi"
N_DRAWS = 200


def of_photographs(group: np.ndarray, seed: int) -> np.ndarray:
    """Vectors of crops that lie around their photograph's own random point, shape (n, 16), float32."""
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(group.max() + 1, 16))[group]
            + 0.3 * generator.normal(size=(len(group), 16))).astype(np.float32)


def of_nothing(group: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).normal(size=(len(group), 16)).astype(np.float32)


def drawn(vectors: np.ndarray, label: np.ndarray, group: np.ndarray) -> Values:
    """What the bootstrap draws, as `Scores.drawn` has it: a value, and what the sample does to the others."""
    measured = retrieval.measure(vectors, label, group)
    pulls = {name: np.where(np.isnan(measured.values[name]), np.nan, measured.gallery[name]) for name in retrieval.NAMES}
    return {name: (measured.values[name] + pull - np.nanmean(pull))[None] for name, pull in pulls.items()}


def false_alarms(n_draws: int, own_group_counts: bool = False) -> Counter:
    """How often the photograph-only space is called better than noise, by metric; 20 photographs of 6 crops, 4 classes."""
    group = np.repeat(np.arange(20), 6)
    label = group % 4
    answered = np.arange(len(group)) if own_group_counts else group  # whom a query leaves out; photographs are drawn whole
    alarms: Counter = Counter()
    for seed in range(n_draws):
        noise, photographs = (drawn(vectors, label, answered) for vectors in (of_nothing(group, seed),
                                                                              of_photographs(group, seed)))
        for name in retrieval.NAMES:
            verdict = comparison.difference(name, noise[name], photographs[name], 200, group=group).verdict
            alarms[name] += verdict == "better"
    return alarms


def test_it_is_called_better_than_noise_no_oftener_than_the_interval_allows() -> None:
    """The interval is 95 %, two-sided, and neither space knows the class, so the difference is truly zero: it may lie wholly
    above zero in 2.5 % of draws, 5 of 200. Chance alone exceeds the bound, 13, once in a thousand times. The draws are fixed.
    """
    alarms = false_alarms(N_DRAWS)
    assert max(alarms.values()) <= binom.ppf(0.999, N_DRAWS, 0.025), alarms
    counted = false_alarms(20, own_group_counts=True)
    assert counted["map_at_r"] == counted["precision_at_1"] == 20, "with the own group it is better at each draw"


@pytest.fixture(scope="module")
def crops() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Up to six crops of every DeFungi photograph: 8 × 8 grey thumbnails, labels, and photographs known from file names."""
    if not DEFUNGI.is_dir():
        pytest.skip("the DeFungi crops are not beside the project")
    seen: Counter = Counter()
    pixels, labels, photographs = [], [], []
    for path in sorted(DEFUNGI.glob("*/*.jpg")):
        photograph = f"{path.parent.name}/{path.stem.rpartition('_')[0]}"
        seen[photograph] += 1
        if seen[photograph] <= 6:
            with Image.open(path) as image:
                image.draft("L", (28, 28))  # decoded at an eighth
                pixels.append(np.asarray(image.convert("L").resize((8, 8), Image.Resampling.BOX), np.float32).ravel())
            labels.append(path.parent.name)
            photographs.append(photograph)
    assert len(seen) == 422
    vectors = np.stack(pixels)
    return (vectors - vectors.mean(axis=1, keepdims=True), *(np.unique(names, return_inverse=True)[1]
                                                             for names in (labels, photographs)))


def test_on_defungi_it_is_at_chance_and_not_better_than_noise_or_thumbnails(
        crops: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    """Photographs' points are independent of their classes, so a hit is as likely as one at random among other photographs:
    over draws the means of P@1 and R-Precision are chance's. MAP@R, which counts pairs of hits, lies 0.3 points above its
    formula, for crops of one photograph hit together; its interval still holds the level. One draw
    may lie above its two-sided 95 % interval 2.5 times in a hundred, so of 8 no metric does more than once, but for a chance
    of 2 %; the draws are fixed."""
    thumbnails, label, group = crops
    others = drawn(thumbnails, label, group)
    above, gaps = Counter(), {name: [] for name in retrieval.NAMES}
    for seed in range(8):
        photographs = drawn(of_photographs(group, seed), label, group)
        levels = chance.of_retrieval(photographs, label, 200, group)
        for name, level in levels.items():
            above[name, "chance"] += not level.is_at_chance
            gaps[name].append(np.nanmean(photographs[name]) - level.level)
        for against, space in (("noise", drawn(of_nothing(group, seed), label, group)), ("thumbnails", others)):
            for name in retrieval.NAMES:
                found = comparison.difference(name, space[name], photographs[name], 200, group=group)
                above[name, against] += found.verdict == "better"
    assert max(above.values()) <= 1, above
    for name in ("precision_at_1", "r_precision"):
        values = gaps[name]
        assert abs(np.mean(values)) < 3.5 * np.std(values, ddof=1) / np.sqrt(len(values)), (name, values)
    alone = np.arange(len(group))
    counted, noise = (drawn(vectors, label, alone) for vectors in (of_photographs(group, 0), of_nothing(group, 0)))
    for name in ("map_at_r", "precision_at_1"):
        assert not chance.of_retrieval(counted, label, 200, group)[name].is_at_chance, "with the own group it is far above"
        assert comparison.difference(name, noise[name], counted[name], 200, group=group).verdict == "better"

"""The bootstrap over several splits: against scipy, a slow loop of its formula, and on populations whose truth is known."""

import numpy as np
import pytest
from scipy import stats

from core.analysis import comparison, repeated_splits, resampling, statements

T59, Z = stats.t.ppf(0.975, 59), stats.norm.ppf(0.975)
Drawn = tuple[list[np.ndarray], np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # test sets, split, group, A and B


def drawn(n_splits: int, n_seeds: int, generator: np.random.Generator, of_images: float, of_seeds: float,
          of_training: float = 0.0, gap: float = 0.0, n_groups: int = 100, m: int = 3) -> Drawn:
    """Two arms tested on splits of photographs of m images, a fifth of them a split; each part's sd is given.

    A photograph that is trained on moves the gap by its own influence, which makes training sets of one split differ by
    `of_training` from those of another population. Truth: `gap`, over images, seeds and splits.
    """
    group = np.repeat(np.arange(n_groups), m)
    of_image = of_images * np.sqrt(0.5) * (generator.normal(size=n_groups)[group] + generator.normal(size=len(group)))
    influence = generator.normal(size=n_groups)
    tests, training = [], []
    for _ in range(n_splits):
        order = generator.permutation(n_groups)
        tests.append(np.flatnonzero(np.isin(group, order[:n_groups // 5])))
        trained = order[-7 * n_groups // 10:]
        training.append(of_training * np.sqrt(len(trained)) * influence[trained].mean())
    split = np.arange(n_seeds) % n_splits
    a, b = (np.full((n_seeds, len(group)), np.nan) for _ in range(2))
    for seed, number in enumerate(split):
        rows = tests[number]
        for arm in (a, b):
            arm[seed, rows] = of_seeds * np.sqrt(0.5) * generator.normal() + 0.1 * generator.normal(size=len(rows))
        b[seed, rows] += gap + of_image[rows] + training[number]
    return tests, split, group.astype(str), a, b


def by_loop(split: np.ndarray, group: np.ndarray, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """The formula of `repeated_splits.bootstrap`, term by term."""
    numbers, d, n_seeds = sorted(set(split.tolist())), b - a, len(split)
    means, weights, changes = {}, {}, {}
    for number in numbers:
        seeds = [seed for seed in range(n_seeds) if split[seed] == number]
        rows = [row for row in range(d.shape[1]) if not np.isnan(d[seeds[0], row])]
        means[number] = sum(d[seed, row] for seed in seeds for row in rows) / len(seeds) / len(rows)
        weights[number] = len(seeds) / n_seeds
        changes[number] = {}
        for row in rows:
            change = (sum(d[seed, row] for seed in seeds) / len(seeds) - means[number]) / len(rows)
            changes[number][group[row]] = changes[number].get(group[row], 0.0) + change
    names = {name for each in changes.values() for name in each}
    few = len(names) / (len(names) - 1)
    c = {(r, q): few * sum(changes[r].get(name, 0.0) * changes[q].get(name, 0.0) for name in names)
         for r in numbers for q in numbers}
    images = sum(weights[r] * weights[q] * c[r, q] for r in numbers for q in numbers)
    squares = sum(weight ** 2 for weight in weights.values())
    ratio, mean = squares / (1 - squares), sum(weights[r] * means[r] for r in numbers)
    apart = ratio * (sum(weights[r] * c[r, r] for r in numbers) - images)
    between = ratio * sum(weights[r] * (means[r] - mean) ** 2 for r in numbers)
    of_arms = []
    for arm in (a, b):
        runs, total = [np.nanmean(row) for row in arm], 0.0
        for number in numbers:
            own = [runs[seed] for seed in range(n_seeds) if split[seed] == number]
            total += sum((run - sum(own) / len(own)) ** 2 for run in own)
        of_arms.append(total / max(n_seeds - len(numbers), 1) / n_seeds)
    seeds, residual, n_free = sum(of_arms), 0.0, 0
    for number in numbers:  # what is neither a group's, nor a seed's
        own = [seed for seed in range(n_seeds) if split[seed] == number]
        of_group = {seed: {} for seed in own}
        rows = [row for row in range(d.shape[1]) if not np.isnan(d[own[0], row])]
        for seed in own:
            for row in rows:
                change = d[seed, row] - sum(d[seed, other] for other in rows) / len(rows)
                of_group[seed][group[row]] = of_group[seed].get(group[row], 0.0) + change / len(rows)
        for name in of_group[own[0]]:
            average = sum(of_group[seed][name] for seed in own) / len(own)
            residual += sum((of_group[seed][name] - average) ** 2 for seed in own) * len(of_group[own[0]]) / (
                len(of_group[own[0]]) - 1)
        n_free += len(own) - 1
    return {"mean": mean, "both": residual / max(n_free, 1) / n_seeds, "images": images, "apart": apart,
            "between": between, "seeds": seeds,
            "freedom": (n_seeds - len(numbers)) * seeds ** 2 / sum(each ** 2 for each in of_arms) if seeds else 0.0}


def test_one_split_is_the_bootstrap_as_it_was() -> None:
    values = np.random.default_rng(0).random((3, 40))
    group = np.repeat([f"g{row}" for row in range(20)], 2)
    for split in (None, np.zeros(3, int)):
        found = repeated_splits.bootstrap([values], 300, 1, group, split=split)
        assert np.array_equal(found.draws, resampling.bootstrap([values], 300, 1, group).draws)


def test_test_sets_that_share_no_image_give_the_t_test_of_their_means() -> None:
    generator = np.random.default_rng(1)
    values = np.full((4, 400), np.nan)
    for number in range(4):
        values[number, 100 * number:100 * number + 100] = generator.normal(0.1, 0.3, 100)
    found = repeated_splits.bootstrap([values], 20_000, 0, split=np.arange(4))
    theirs = stats.ttest_1samp(np.nanmean(values, axis=1), 0)
    assert (found.low[0], found.high[0]) == pytest.approx(tuple(theirs.confidence_interval()), abs=1e-4)
    assert found.p_value[0] == pytest.approx(theirs.pvalue, abs=2e-3)


@pytest.mark.parametrize(("n_splits", "n_seeds"), [(3, 3), (2, 5), (3, 7)])
def test_the_parts_are_those_of_a_slow_loop(n_splits: int, n_seeds: int) -> None:
    for number in range(4):
        _, split, group, a, b = drawn(n_splits, n_seeds, np.random.default_rng(number), 0.3, 0.02, 0.03, n_groups=300)
        part = by_loop(split, group, a, b)
        found = repeated_splits.bootstrap([b - a], 10_000, 0, group, [(a, b)], split=split)
        if n_seeds == n_splits:
            of_images, rest, freedom = part["images"] - part["apart"], part["between"], n_splits - 1
            stays = max(rest - part["apart"], 0)
        else:
            freedom = n_splits - 1 + part["freedom"]
            of_images, rest, stays = max((part["images"], part["between"] - part["apart"], part["between"] - part["apart"]),
                                         (part["images"] - part["both"], part["seeds"], part["seeds"] - part["both"]),
                                         key=lambda parts: parts[0] + parts[1])
        of_images = max(of_images, 0.0)
        assert found.mean[0] == pytest.approx(part["mean"])
        assert found.seed_share[0] == pytest.approx(stays / (rest + of_images))
        even = (np.arange(10_000) + 0.5) / 10_000
        generator = np.random.default_rng(9)
        theirs = np.sqrt(of_images) * T59 / Z * stats.norm.ppf(even) + (  # 60 photographs a split
            np.sqrt(rest) * stats.t.ppf(generator.permutation(even), freedom))
        assert (found.high[0] - found.low[0]) / 2 == pytest.approx(np.quantile(theirs, 0.975), rel=0.04)


def test_an_image_that_both_splits_test_is_drawn_once_for_both() -> None:
    """The same images on both splits: the mean over splits varies as on one, and not half as much."""
    values = np.random.default_rng(0).normal(size=100)
    both = repeated_splits.bootstrap([np.tile(values, (2, 1))], 20_000, 0, split=np.arange(2))
    one = resampling.bootstrap([values[None]], 20_000, 0)
    assert both.draws[:, 0].std() == pytest.approx(one.draws[:, 0].std(), rel=1e-9)
    apart = np.full((2, 200), np.nan)
    apart[0, :100] = apart[1, 100:] = values
    assert repeated_splits.bootstrap([apart], 2000, 0, split=np.arange(2)).draws[:, 0].std() < 1e-9, "and no split differs"


def test_one_group_on_a_split_tells_nothing() -> None:
    values = np.full((2, 30), np.nan)
    values[0, :10], values[1, 10:] = 0.2, 0.3
    group = np.array(["one"] * 10 + [f"g{row}" for row in range(20)])
    found = repeated_splits.bootstrap([values], 200, 0, group, split=np.arange(2))
    assert found.high[0] - found.low[0] > resampling.UNKNOWN


def difference(arms: Drawn, n_bootstrap: int = 1000, seed: int = 0) -> comparison.Difference:
    _, split, group, a, b = arms
    return comparison.difference("map_at_r", a, b, n_bootstrap, seed, group, margin=0.01, split=split)


def test_a_difference_says_over_how_many_splits_it_holds() -> None:
    found = difference(drawn(3, 6, np.random.default_rng(0), 0.1, 0.01, gap=0.2))
    assert (found.verdict, found.n_seeds, found.n_splits) == ("better", 6, 3)
    sentence = statements.sentence(found, "classification", "SupCon")
    assert "; 6 seeds on 3 splits, " in sentence and sentence.endswith(" test images), for images like these")


def test_how_often_b_wins_is_of_runs_on_one_split() -> None:
    *_, a, b = arms = drawn(3, 6, np.random.default_rng(0), 0.1, 0.02, gap=0.02)
    runs = np.nanmean(b, axis=1) - np.nanmean(a, axis=1)
    found = difference(arms).outperforming
    assert found is not None and found.probability == pytest.approx(stats.norm.cdf(runs.mean() / runs.std(ddof=1)))


def claims(n_splits: int, n_seeds: int, parts: tuple[float, float, float], trials: int) -> tuple[float, float]:
    """Share of populations of equal arms whose interval holds 0, and of those in which B is called better."""
    held, better = [], []
    for trial in range(trials):
        found = difference(drawn(n_splits, n_seeds, np.random.default_rng([trial, n_splits, n_seeds]), *parts), 600, trial)
        held.append(found.low <= 0 <= found.high)
        better.append(found.verdict == "better")
    return float(np.mean(held)), float(np.mean(better))


MIXTURES = {"images": (0.2, 0.002, 0.0), "seeds": (0.1, 0.05, 0.0), "all alike": (0.2, 0.02, 0.005)}


@pytest.mark.parametrize(("n_splits", "n_seeds"), [(2, 4), (3, 3), (5, 5)])
def test_intervals_hold_the_truth_over_images_seeds_and_splits(n_splits: int, n_seeds: int) -> None:
    held, better = claims(n_splits, n_seeds, MIXTURES["all alike"], 60)
    assert held >= 0.87 and better <= 0.1


def test_one_split_alone_does_not_hold_for_images_like_these() -> None:
    """What several splits are for: where training images matter, the interval of one split leaves their part out."""
    assert claims(1, 5, (0.1, 0.005, 0.04), 60)[0] < 0.8


@pytest.mark.slow
@pytest.mark.parametrize("mixture", MIXTURES)
@pytest.mark.parametrize(("n_splits", "n_seeds"), [(1, 3), (2, 3), (2, 4), (2, 10), (3, 3), (3, 5), (3, 10), (4, 4), (5, 5),
                                                   (5, 10)])
def test_of_500_intervals_92_to_99_in_a_hundred_hold_and_null_pairs_are_rarely_better(n_splits: int, n_seeds: int,
                                                                                     mixture: str) -> None:
    parts = MIXTURES[mixture]
    held, better = claims(n_splits, n_seeds, (*parts[:2], 0.0) if n_splits == 1 else parts, 500)
    print(f"{n_splits} splits, {n_seeds} seeds, {mixture}: held {100 * held:.1f} %, better {100 * better:.1f} %")
    assert 0.92 <= held <= 0.992 and better <= 0.05

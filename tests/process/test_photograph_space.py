"""A space that knows the photograph and nothing of the class has learnt nothing that a number asks for: whatever is shown of
it is at the chance level that stands beside it, and never better.

Every metric of the registries is tried, so one that is added without a chance level fails here.
"""

from collections import Counter
from functools import cache

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binom

from core.analysis import agreement, chance, comparison, metrics, retrieval, trust
from core.analysis.comparison import Values
from core.analysis.metrics import METRICS, SPACE_METRICS
from core.config import parse
from core.results import protocol, summaries, verdict
from core.results.scores import Scores
from tests import SHARED
from tests.conftest import TINY

DEFUNGI = SHARED / "data" / "defungi"
N_DRAWS = 200
KNOW_NO_CLASS = ("effective_rank", "uniformity")


def of_photographs(group: np.ndarray, seed: int) -> np.ndarray:
    """Vectors of crops that lie around their photograph's own random point, shape (n, 16), float32."""
    generator = np.random.default_rng(seed)
    return (generator.normal(size=(group.max() + 1, 16))[group]
            + 0.3 * generator.normal(size=(len(group), 16))).astype(np.float32)


def of_nothing(group: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).normal(size=(len(group), 16)).astype(np.float32)


def drawn(vectors: np.ndarray, label: np.ndarray, group: np.ndarray) -> tuple[Values, Values]:
    """What the bootstrap draws, as `Scores.drawn` has it: a value, and what the sample does to the others; and what chance
    expects of it."""
    measured = retrieval.measure(vectors, label, group)
    pulls = {name: np.where(np.isnan(measured.values[name]), np.nan, measured.gallery[name]) for name in retrieval.NAMES}
    return ({name: (measured.values[name] + pull - np.nanmean(pull))[None] for name, pull in pulls.items()},
            {name: column[None] for name, column in measured.expected.items()})


def false_alarms(n_draws: int, own_group_counts: bool = False) -> Counter:
    """How often the photograph-only space is called better than noise, by metric; 20 photographs of 6 crops, 4 classes."""
    group = np.repeat(np.arange(20), 6)
    label = group % 4
    answered = np.arange(len(group)) if own_group_counts else group  # whom a query leaves out; photographs are drawn whole
    alarms: Counter = Counter()
    for seed in range(n_draws):
        noise, photographs = (drawn(vectors, label, answered)[0] for vectors in (of_nothing(group, seed),
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


def scores_of(vectors: np.ndarray, known: np.ndarray, label: np.ndarray, known_label: np.ndarray,
              group: np.ndarray) -> Scores:
    """All that is scored of a space: test images, and training images of other photographs."""
    found = metrics.measure(vectors, label, known, known_label, 4, 5, 2, group)
    names = np.array([f"{row:04d}" for row in range(len(label))], dtype=object)
    parts = ({name: column[None] for name, column in part.items()}
             for part in (found.values, found.gallery, found.space))
    run = parse(TINY).runs()[1]
    return Scores("space", names, group.astype(str).astype(object), label.astype(str).astype(object), label, *parts,
                  found.clusters[None], found.neighbors[None].astype(np.int32), run.to_json(), protocol.of_config(run),
                  expected={name: column[None] for name, column in found.expected.items()})


@cache
def spaces(n_draws: int = 60) -> list[tuple[Scores, Scores]]:
    """Draws of a space that knows nothing and of one that knows the photograph alone; 20 photographs of 3 to 9 crops, 4
    classes. Training images are crops of 20 other photographs."""
    found = []
    for seed in range(n_draws):
        generator = np.random.default_rng([seed, 8])
        group = np.repeat(np.arange(20), generator.integers(3, 10, 20))
        label, known_label = (generator.permutation(np.arange(20) % 4)[group] for _ in range(2))
        found.append(tuple(scores_of(of(group, seed), of(group, 1000 + seed), label, known_label, group)
                           for of in (of_nothing, of_photographs)))
    return found


def answers(name: str, explains: bool) -> list[str]:
    """The photograph-only space against noise, draw by draw, without Holm's correction; `explains` takes what chance levels
    explain into account."""
    return [comparison.difference(name, noise.drawn()[name], knows.drawn()[name], 200, group=noise.group,
                                  by_chance=verdict.explained_by_chance(noise, knows)[name] if explains else 0.0).verdict
            for noise, knows in spaces()]


def test_macro_averages_and_classes_are_held_against_their_own_chance_levels() -> None:
    """By hand from each query's expectation; of what K-means gives, one level for all classes."""
    noise, knows = spaces()[0]
    found, of_all = verdict.compare(noise, knows, 200), verdict.explained_by_chance(noise, knows)
    classes = sorted(set(noise.label.tolist()))

    def gap(name: str, label: str) -> float:
        return float(np.nanmean(knows.expected[name][0, knows.label == label])
                     - np.nanmean(noise.expected[name][0, noise.label == label]))

    for item in found.per_class:
        wanted = gap(item.metric, item.label) if item.metric in noise.expected else of_all[item.metric]
        assert item.by_chance == pytest.approx(wanted, abs=1e-12), (item.label, item.metric)
    for item in found.macro:
        wanted = np.mean([gap(item.metric, label) for label in classes]) if item.metric in noise.expected else (
            of_all[item.metric])
        assert item.by_chance == pytest.approx(wanted, abs=1e-12), item.metric
    assert any(abs(item.by_chance - of_all[item.metric]) > 0.01 for item in found.per_class), "classes differ"
    assert all(item.outperforming is None for item in found.macro), "one seed"


def of_metric(scores: Scores, name: str) -> float:
    return float(np.nanmean((scores.values | scores.space)[name]))


@pytest.mark.parametrize("name", [*METRICS, *SPACE_METRICS])
def test_every_metric_of_it_is_at_the_chance_level_beside_it(name: str) -> None:
    """Over draws the mean of value and level is the same, and one may be called better than chance in 2.5 % of draws: of 60
    more than 6 has a chance of 1 in 1,000. The draws are fixed."""
    if name in KNOW_NO_CLASS:
        group = np.repeat(np.arange(20), 6)
        first, second = (scores_of(of_photographs(group, 0), of_photographs(group, 1), label, label, group)
                         for label in (group % 4, np.random.default_rng(0).permutation(group % 4)))
        assert np.array_equal(first.space[name], second.space[name]), "it has no chance level, for it does not see labels"
        return
    for which in (0, 1):
        gaps = [of_metric(pair[which], name) - pair[which].levels[name] for pair in spaces()]
        assert abs(np.mean(gaps)) < 3.5 * np.std(gaps, ddof=1) / np.sqrt(len(gaps)), (name, which)
        alarms = sum(not summaries.chance_levels(pair[which], 200)[name].is_at_chance for pair in spaces())
        assert alarms <= binom.ppf(0.999, len(gaps), 0.025), (name, which)


@pytest.mark.parametrize("name", METRICS)
def test_no_metric_calls_it_better_than_noise(name: str) -> None:
    """What knowing the photograph alone does to a metric, its chance level says, and a verdict asks for more than that."""
    assert answers(name, explains=True).count("better") <= binom.ppf(0.999, len(spaces()), 0.025)


@pytest.mark.parametrize(("name", "answer"), [("kmeans_accuracy", "better"), ("silhouette", "worse")])
def test_without_its_chance_level_a_metric_would_be_moved_by_the_photograph(name: str, answer: str) -> None:
    most = binom.ppf(0.999, len(spaces()), 0.025)
    assert answers(name, explains=False).count(answer) > most >= answers(name, explains=True).count(answer)


def test_a_space_of_classes_is_above_chance_and_better() -> None:
    group = np.repeat(np.arange(40), 5)
    label = group % 4
    know, test, known = 3 * np.eye(4, 16)[label], of_photographs(group, 0), of_photographs(group, 1)
    space = scores_of((test + know).astype(np.float32), (known + know).astype(np.float32), label, label, group)
    assert not any(item.is_at_chance for item in summaries.chance_levels(space, 200).values())
    noise = scores_of(of_nothing(group, 0), of_nothing(group, 1), label, label, group)
    found, explained = verdict.compare(noise, space, 2000).differences, verdict.explained_by_chance(noise, space)
    assert {item.metric: item.verdict for item in found} == dict.fromkeys(METRICS, "better")
    assert [item.by_chance for item in found] == [explained[item.metric] for item in found] and any(explained.values())


def test_what_epochs_and_learning_rates_are_chosen_by_gains_nothing_from_it() -> None:
    """Of an encoder that knows the photograph alone and one that knows nothing, either is chosen as often."""
    gaps, raw = [], []
    for seed in range(200):
        generator = np.random.default_rng([seed, 8])
        group = np.repeat(np.arange(20), 6)
        label = generator.permutation(np.arange(20) % 4)[group]
        (noise, of_noise), (knows, by_group) = (retrieval.retrieve_with_chance(of(group, seed), label, group)
                                                for of in (of_nothing, of_photographs))
        raw.append(knows["map_at_r"].mean() - noise["map_at_r"].mean())
        gaps.append(raw[-1] - (by_group - of_noise))
    assert abs(np.mean(gaps)) < 3.5 * np.std(gaps, ddof=1) / np.sqrt(200)
    assert np.mean(raw) > 3.5 * np.std(raw, ddof=1) / np.sqrt(200), "by MAP@R itself it would be chosen more often"


def test_a_layout_that_keeps_photographs_alone_together_is_not_trusted() -> None:
    """The crops of a photograph lie together in the space and in the layout, and photographs are strewn in both."""
    group = np.repeat(np.arange(60), 8)
    near, counted = [], []
    for seed in range(10):
        generator = np.random.default_rng([seed, 9])
        vectors = of_photographs(group, seed)
        layout = generator.normal(size=(60, 2))[group] + 0.02 * generator.normal(size=(480, 2))
        found = trust.measure(vectors, layout, group=group)
        near.append((found.trustworthiness.mean(), found.continuity.mean()))
        counted.append(trust.measure(vectors, layout).trustworthiness.mean())
        assert (group[found.near_layout] != group[:, None]).all() and (group[found.near_space] != group[:, None]).all()
    assert np.mean(near, axis=0) == pytest.approx([0.5, 0.5], abs=0.05)
    assert np.mean(counted) > 0.75


def test_two_such_spaces_share_as_many_neighbours_as_chance_says() -> None:
    group = np.repeat(np.arange(40), 5)
    shared = [agreement.neighborhood_overlap(of_photographs(group, seed), of_photographs(group, 500 + seed), 10, group).mean()
              for seed in range(60)]
    assert np.mean(shared) == pytest.approx(10 / 195, abs=3.5 * np.std(shared, ddof=1) / np.sqrt(60))


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
    over draws the means are chance's, of MAP@R too, where crops that hit together are worth 0.3 points. One draw may lie above
    its two-sided 95 % interval 2.5 times in a hundred, so of 8 no metric does more than once, but for a chance of 2 %; the
    draws are fixed."""
    thumbnails, label, group = crops
    others, _ = drawn(thumbnails, label, group)
    above, gaps = Counter(), {name: [] for name in retrieval.NAMES}
    for seed in range(8):
        photographs, expected = drawn(of_photographs(group, seed), label, group)
        levels = chance.of_values(photographs, expected, 200, group)
        for name, level in levels.items():
            above[name, "chance"] += not level.is_at_chance
            gaps[name].append(np.nanmean(photographs[name]) - level.level)
        for against, space in (("noise", drawn(of_nothing(group, seed), label, group)[0]), ("thumbnails", others)):
            for name in retrieval.NAMES:
                found = comparison.difference(name, space[name], photographs[name], 200, group=group)
                above[name, against] += found.verdict == "better"
    assert max(above.values()) <= 1, above
    for name in retrieval.NAMES:
        values = gaps[name]
        assert abs(np.mean(values)) < 3.5 * np.std(values, ddof=1) / np.sqrt(len(values)), (name, values)
    alone = np.arange(len(group))
    (counted, expected), (noise, _) = (drawn(vectors, label, alone) for vectors in (of_photographs(group, 0),
                                                                                    of_nothing(group, 0)))
    for name in ("map_at_r", "precision_at_1"):
        assert not chance.of_values(counted, expected, 200, group)[name].is_at_chance, "with the own group it is far above"
        assert comparison.difference(name, noise[name], counted[name], 200, group=group).verdict == "better"

"""What scores allow one to say: the comparison of two arms, and everything an experiment's arms say together.

Scores are `core.results.scores`'.
"""

from contextlib import suppress
from pathlib import Path

import numpy as np

from core import config as configuration
from core import scored_by
from core.analysis import agreement, comparison, fairness, paired_tests, retrieval, spending, statements
from core.analysis import table as tables
from core.analysis.comparison import Comparison, Difference, Values
from core.analysis.low_data import Count
from core.analysis.metrics import HEADLINE
from core.analysis.neighbors import NOBODY
from core.config import ExperimentConfig, arm_label
from core.config.objectives import Objective, UntrainedConfig
from core.errors import Damaged, InputError
from core.experiments import best, handles, looks
from core.experiments.handles import Experiment
from core.experiments.looks import PLANNED, Look
from core.files import Json
from core.results import curve, pairing, result, scoring, summaries, training_worth
from core.results.repeated import AnyScores
from core.results.result import Agreement, Arm, Pair, TrainingWorth, Verdict
from core.results.scores import Scores
from core.results.summaries import chance_levels, summarize, summarize_by_class, summarize_space


def draws(a: AnyScores, b: AnyScores) -> tuple[int, str]:
    """How many bootstrap draws a comparison takes, as the configs of A and B ask; where they differ, the more of the two,
    and a note that says whose."""
    n_a, n_b = (configuration.parse_run(side.config).evaluation.bootstrap for side in (a, b))
    if n_a == n_b:
        return n_a, ""
    more, other = ("A", "B") if n_a > n_b else ("B", "A")
    return max(n_a, n_b), f"{more}'s evaluation.bootstrap; {other}'s is {min(n_a, n_b):,}"


def least_that_matters(a: AnyScores, b: AnyScores) -> float:
    """The least difference that matters, 0 to 1, as the configs of A and B say; the smaller of both."""
    return min(configuration.parse_run(side.config).evaluation.margin for side in (a, b)) / 100


def explained_by_chance(a: AnyScores, b: AnyScores) -> dict[str, float]:
    """Metric -> how much higher its chance level is in B than in A; empty where each sample is a group of its own: there the
    levels of two spaces hardly differ."""
    return _gaps(a.levels, b.levels) if _have_groups(a, b) else {}


def _have_groups(a: AnyScores, b: AnyScores) -> bool:
    return a.has_groups or b.has_groups


def _gaps(levels_a: dict[str, float], levels_b: dict[str, float]) -> dict[str, float]:
    return {name: levels_b[name] - level for name, level in levels_a.items() if name in levels_b}


def compare(a: AnyScores, b: AnyScores, n_bootstrap: int | None = None, look: Look = PLANNED) -> Comparison:
    """B against A: on the test samples both have, or, where their splits differ by design, each on its own.

    Args:
        a, b: the arms, with as many seeds as each other.
        n_bootstrap: draws; None for what their configs ask (`draws`). More are taken where the look asks for them.
        look: where the comparison stands; while planned seeds are unfinished, it has intervals and no verdict.

    Raises:
        InputError: if they share no test sample, differ in their number of seeds, are tested on other splits of the same
            images, or disagree on the labels or groups of the samples they share.
    """
    draws_note = ""
    if n_bootstrap is None:
        n_bootstrap, draws_note = draws(a, b)
    n_bootstrap, alpha = spending.enough(n_bootstrap, look.number), look.alpha
    if a.n_seeds != b.n_seeds:
        raise InputError(f"spaces to compare must have as many seeds as each other, got {a.n_seeds} of {a.name} and "
                         f"{b.n_seeds} of {b.name}")
    config_a, config_b = configuration.parse_run(a.config), configuration.parse_run(b.config)
    n_dropped, space, mcnemar, per_class = 0, [], [], []
    margin, by_chance = least_that_matters(a, b), explained_by_chance(a, b)
    macro_by_chance = _gaps(a.levels_by_class, b.levels_by_class) if by_chance else {}
    if config_a.split == config_b.split:
        paired = pairing.pair(a, b)
        n_dropped, group, n_samples, split = paired.n_dropped, paired.group, paired.n_samples, paired.split
        differences = comparison.compare(*paired.drawn, n_bootstrap, group, n_samples, margin, by_chance, alpha, split)
        macro = comparison.compare_macro(*paired.by_class, n_bootstrap, group, n_samples, margin, macro_by_chance, alpha,
                                         split)
        space = comparison.compare_space(*paired.space, n_bootstrap, group, by_chance, alpha, split) if a.space else []
        of_a, of_b = paired.values
        mcnemar = [paired_tests.mcnemar(metric, of_a[metric], of_b[metric], group)
                   for metric in paired_tests.BINARY if metric in of_a and metric in of_b]
        per_class = comparison.compare_classes(
            paired.of_classes, n_bootstrap,
            {name: _gaps(levels, b.levels_of_classes.get(name, {})) for name, levels in a.levels_of_classes.items()}
            if by_chance else {}, alpha, split)
    else:
        _check_shared(a, b)
        defined_a, defined_b = a.defined(), b.defined()

        def unpaired(drawn_a: Values, drawn_b: Values, by_chance: dict[str, float]) -> list[Difference]:
            return [comparison.unpaired_difference(
                metric, drawn_a[metric], drawn_b[metric], n_bootstrap, group_a=a.group, group_b=b.group,
                n_samples=int(min(defined_a[metric].sum(), defined_b[metric].sum())), margin=margin,
                by_chance=by_chance.get(metric, 0.0), alpha=alpha, splits=(a.split, b.split))
                for metric in drawn_a if metric in drawn_b]

        differences = comparison.hold(unpaired(a.drawn(), b.drawn(), by_chance))
        macro = comparison.correct(unpaired(a.drawn_by_class(), b.drawn_by_class(), macro_by_chance))
    if look.is_interim:
        differences = [comparison.without_verdict(item) for item in differences]
        macro = [comparison.without_verdict(item) for item in macro]
        per_class = [comparison.without_verdict(item) for item in per_class]
    headline = next(item for item in differences if item.metric == HEADLINE)
    leaks_a, leaks_b = config_a.leaks, config_b.leaks
    settings = fairness.differences(a.settings, b.settings)
    unfair = fairness.confounders(settings)
    confounding = {item.field for item in settings if item.kind == "confounder"}
    is_worth = not leaks_a and bool(leaks_b) and not confounding - _LEAK_SETTINGS and (
        _without_leaks(config_a.objective) == _without_leaks(config_b.objective))
    if is_worth:
        unfair = ()
    warning = leak_warning(a.name, leaks_a, b.name, leaks_b)
    if look.is_interim:
        sentence = statements.interim_sentence(headline, a.name, b.name, look.n_awaited, unfair, warning)
    elif is_worth:
        sentence = statements.worth_sentence(headline, " and ".join(leaks_b), a.name)
    else:
        sentence = statements.sentence(headline, a.name, b.name, unfair, warning)
    if a.is_open:
        sentence = f"Among {len(set(a.label.tolist()))} held-out classes: {sentence}"
    return Comparison(name_a=a.name, name_b=b.name, differences=tuple(differences), confounders=unfair, n_dropped=n_dropped,
                      sentence=sentence, settings=settings, leaks_a=leaks_a, leaks_b=leaks_b, is_worth_of_leak=is_worth,
                      look=look.number, look_note="" if look.is_interim else look.note,
                      space=tuple(space), mcnemar=tuple(mcnemar), per_class=tuple(per_class), macro=tuple(macro),
                      n_bootstrap=n_bootstrap, draws_note=draws_note)


def _check_shared(a: AnyScores, b: AnyScores) -> None:
    """Refuses labels that disagree among the test images that both have."""
    label_of = dict(zip(b.sample_id.tolist(), b.label.tolist()))
    rows = np.array([sample_id in label_of for sample_id in a.sample_id.tolist()], bool)
    shared = a.sample_id[rows]
    tables.check_labels(shared, a.label[rows], np.array([label_of[name] for name in shared.tolist()], dtype=object))


def overlap(a: Scores, b: Scores) -> np.ndarray:
    """Share of each shared test sample's nearest test samples that are the same in both spaces.

    Args:
        a: one arm.
        b: the other, with as many seeds.

    Returns:
        Shape (seeds, shared), 0 to 1, in the order of the sorted sample_id; each space's nearest are among all it was
        tested on, outside the sample's own group; nan where none is left.
    """
    shared = np.intersect1d(a.sample_id, b.sample_id)
    in_a, in_b = pairing.rows_of(a, shared), pairing.rows_of(b, shared)
    row_of = {sample_id: row for row, sample_id in enumerate(a.sample_id.tolist())}
    as_in_a = np.array([*(row_of.get(sample_id, NOBODY) for sample_id in b.sample_id.tolist()), NOBODY])  # its last: nobody
    k = min(a.neighbors.shape[2], b.neighbors.shape[2])
    return np.stack([agreement.shared_neighbors(near_a[in_a, :k], as_in_a[near_b[in_b, :k]])
                     for near_a, near_b in zip(a.neighbors, b.neighbors)])


def pair(experiment: Experiment, a: AnyScores, b: AnyScores, label_a: str, label_b: str, images_per_class: Count,
         n_bootstrap: int | None = None) -> Pair:
    """Two arms of an experiment, by their labels; the other arguments and what is raised as of `compare`."""
    alike, look = agree(a, b), looks.of(experiment, a.n_seeds)
    return Pair(images_per_class=images_per_class, label_a=label_a, label_b=label_b, agreement=alike,
                **vars(compare(a, b, n_bootstrap, look)))


def agree(a: AnyScores, b: AnyScores) -> Agreement | None:
    """How alike two arms are, seed by seed, of several splits split by split; None where fewer than two samples are shared on
    one. Reads the embeddings."""
    found = [_agree(*each) for each in pairing.on_same_splits(a, b)]
    known = [each for each in found if each is not None]
    if len(known) < len(found) or len(known) == 1:
        return known[0] if len(known) == len(found) else None
    return Agreement(neighbors=min(each.neighbors for each in known), overlap=tuple(x for each in known for x in each.overlap),
                     overlap_by_chance=float(np.mean([each.overlap_by_chance for each in known])),
                     cka=tuple(x for each in known for x in each.cka))


def _agree(a: Scores, b: Scores) -> Agreement | None:
    shared = np.intersect1d(a.sample_id, b.sample_id)
    if len(shared) < 2:
        return None
    k = min(a.neighbors.shape[2], b.neighbors.shape[2])
    rows = pairing.rows_of(a, shared)
    roles = None if a.role is None else retrieval.roles_of(a.role[rows])
    n_left = retrieval.n_relevant(np.zeros(len(shared), int), a.group[rows], roles)[1]
    if not n_left.any():
        return None
    by_chance = np.minimum(k, n_left[n_left > 0]) / n_left[n_left > 0]
    return Agreement(neighbors=k, overlap=tuple(np.nanmean(overlap(a, b), axis=1).tolist()),
                     overlap_by_chance=float(by_chance[0] + (by_chance - by_chance[0]).mean()),
                     cka=tuple(_cka(file_a, file_b, shared) for file_a, file_b in zip(a.files, b.files)))


def _cka(file_a: Path, file_b: Path, shared: np.ndarray) -> float | None:
    vectors = []
    for file in (file_a, file_b):
        table = tables.read(file)
        row_of = {sample_id: row for row, sample_id in enumerate(table.sample_id.tolist())}
        vectors.append(table.embedding[[row_of[sample_id] for sample_id in shared.tolist()]])
    if any((space == space[0]).all() for space in vectors):
        return None
    return agreement.linear_cka(*vectors)


_LEAK_SETTINGS = {"split.group", "training.pool"}


def _without_leaks(objective: Objective) -> Json:
    return objective.model_dump(exclude={"label", "group", "pool"})


def leak_warning(name_a: str, leaks_a: tuple[str, ...], name_b: str, leaks_b: tuple[str, ...]) -> str:
    """Which of two arms leak, and that their numbers are too good; empty if neither does."""
    if leaks_a == leaks_b:
        return f"both have {' and '.join(leaks_a)}: these numbers are too good" if leaks_a else ""
    return "; ".join(f"{name} has {' and '.join(leaks)}: its numbers are too good"
                     for name, leaks in ((name_a, leaks_a), (name_b, leaks_b)) if leaks)


def read(experiment: Experiment) -> Verdict:
    """What an experiment allows one to say: what its last run wrote down if nothing came after, else decided anew; so
    is what an earlier version wrote."""
    path = experiment.verdict_file
    with suppress(FileNotFoundError, Damaged):  # made anew below
        verdict = result.read(experiment)
        scored = [file.stat().st_mtime_ns for file in experiment.scores_files]
        if path.stat().st_mtime_ns >= max(scored, default=0) and verdict.is_current:
            return verdict
    return decide(experiment)


def decide(experiment: Experiment) -> Verdict:
    """Everything an experiment allows one to say so far: a row per arm, a comparison per images-per-class.

    Every arm is compared with the first, and every arm that leaks with the same arm without the leak.
    """
    config = experiment.config
    rows, comparisons, worth = _tell(experiment, config)
    open_rows, open_comparisons, open_worth = _tell(experiment, config, is_open=True)
    chosen = next((item for item in comparisons if item.images_per_class == config.most_images_per_class), None)
    return Verdict(schema=handles.VERDICT_SCHEMA, scored_by=scored_by.VERSION, rows=rows, comparisons=comparisons,
                   sentence=chosen.sentence if chosen else "", curve=curve.draw(experiment, scoring.arm_of_runs),
                   training_worth=worth, open_rows=open_rows, open_comparisons=open_comparisons,
                   open_training_worth=open_worth)


def _tell(experiment: Experiment, config: ExperimentConfig,
          is_open: bool = False) -> tuple[tuple[Arm, ...], tuple[Pair, ...], tuple[TrainingWorth, ...]]:
    """A row per arm, a comparison per pair and what training is worth, at each images-per-class, of what runs left behind."""
    n_bootstrap = config.evaluation.bootstrap
    rows: list[Arm] = []
    comparisons: list[Pair] = []
    worth: list[TrainingWorth] = []
    for count in config.images_per_class:
        arms = {label: scoring.arm(experiment, label, count, is_open)
                for label in config.all_arms}
        floor = arms[arm_label(UntrainedConfig())]
        for label, arm in arms.items():
            if arm is not None:
                look = looks.of(experiment, arm.n_seeds)
                against_untrained, not_improved = (_against_untrained(floor, arm, n_bootstrap, look)
                                                   if label in config.arms else (None, ""))
                rows.append(Arm(objective=label, images_per_class=count, leaks=configuration.parse_run(arm.config).leaks,
                                n_seeds=arm.n_seeds, n_test=len(arm.sample_id),
                                n_splits=len(summaries.parts_of(arm)),
                                own_group=summaries.own_group_counts(arm), metrics=summarize(arm, n_bootstrap),
                                macro=summarize_by_class(arm, n_bootstrap),
                                space=summarize_space(arm, n_bootstrap), against_untrained=against_untrained,
                                not_improved=not_improved,
                                unchanged=best.unchanged(experiment,
                                                         scoring.runs_of_arm(experiment, label, count, is_open)),
                                chance=chance_levels(arm, n_bootstrap), probe=arm.probe))
        for label_a, label_b in pairs_to_compare(config):
            a, b = arms[label_a], arms[label_b]
            if a is not None and b is not None and a.settings["seeds"] == b.settings["seeds"]:
                comparisons.append(pair(experiment, a, b, label_a, label_b, count, n_bootstrap))
        told = training_worth.tell(experiment, arms, count, lambda frozen, trained: _gain(
            frozen, trained, n_bootstrap, looks.of(experiment, trained.n_seeds)), is_open)
        worth += [told] if told else []
    return tuple(rows), tuple(comparisons), tuple(worth)


def _against_untrained(floor: AnyScores | None, arm: AnyScores, n_bootstrap: int, look: Look) -> tuple[Difference | None, str]:
    """What training did to an encoder, on the headline's metric, and a sentence if that is not for the better; of unfinished
    seeds neither has a verdict."""
    difference = None if floor is None or floor is arm else _gain(floor, arm, n_bootstrap, look)
    if difference is None or not difference.verdict:
        return difference, ""
    sentence = statements.sentence(difference, "the untrained encoder", arm.name)
    return difference, "" if difference.verdict == "better" else sentence


def _gain(floor: AnyScores, arm: AnyScores, n_bootstrap: int, look: Look) -> Difference | None:
    """The difference of an arm on another on the headline's metric, without a verdict while planned seeds are unfinished; None
    where they were tested on other images or with other seeds."""
    if not np.array_equal(floor.sample_id, arm.sample_id) or floor.settings["seeds"] != arm.settings["seeds"]:
        return None
    paired = pairing.pair(floor, arm)
    of_floor, of_arm = paired.drawn
    difference = comparison.difference(HEADLINE, of_floor[HEADLINE], of_arm[HEADLINE],
                                       spending.enough(n_bootstrap, look.number), group=paired.group,
                                       n_samples=paired.n_samples[HEADLINE], margin=least_that_matters(floor, arm),
                                       by_chance=explained_by_chance(floor, arm).get(HEADLINE, 0.0), alpha=look.alpha,
                                       split=paired.split)
    return comparison.without_verdict(difference) if look.is_interim else difference


def pairs_to_compare(config: ExperimentConfig) -> list[tuple[str, str]]:
    """Labels of the arms to compare, A and B: fair pairs first."""
    first, *others = config.objectives
    clean = [objective for objective in config.objectives if not (objective.group or objective.pool)]
    fair, leaky = [], []
    for objective in others:
        if (objective.group, objective.pool) == (first.group, first.pool):
            fair.append((first, objective))
        elif objective not in clean:
            twins = [twin for twin in clean if _without_leaks(twin) == _without_leaks(objective)]
            leaky.append((twins[0] if twins else first, objective))
        else:
            leaky.append((objective, first) if _without_leaks(objective) == _without_leaks(first) else (first, objective))
    return [(arm_label(a), arm_label(b)) for a, b in fair + leaky]

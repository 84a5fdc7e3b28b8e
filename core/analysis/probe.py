"""The linear probe: can a linear classifier, fitted on the training samples, tell the classes of a space apart?

Its regularisation is chosen on validation samples, in every space alike. Test samples choose nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from core.analysis import parts

GRID = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1e3)  # of C, the strongest regularisation first
UNTUNED = 1.0  # C where there are no validation samples: scikit-learn's default
_STEPS = 1000  # of the solver, at most; spaces of 1,478 to 7,400 samples took 150


@dataclass(frozen=True)
class ProbeChoice:
    """How strongly one space's probe is regularised.

    Attributes:
        c: scikit-learn's C, one over the strength of the L2 penalty; one of `GRID`, or `UNTUNED`.
        validation_accuracy: share of the validation samples it then classifies rightly, 0 to 1; None where there are none.
        n_validation: how many validation samples there are.
    """

    c: float
    validation_accuracy: float | None
    n_validation: int


def measure(vectors: np.ndarray, label_id: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
            validation: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[np.ndarray, ProbeChoice]:
    """Whether the probe is right.

    Args:
        vectors, reference, reference_label_id, validation: as of `call`.
        label_id: the queries' labels, shape (n,).

    Returns:
        1.0 where right, 0.0 where wrong, shape (n,), float64; and the choice.
    """
    called, choice = call(vectors, reference, reference_label_id, validation)
    return (called == label_id).astype(np.float64), choice


def call(vectors: np.ndarray, reference: np.ndarray, reference_label_id: np.ndarray,
         validation: tuple[np.ndarray, np.ndarray] | None = None) -> tuple[np.ndarray, ProbeChoice]:
    """The class that a logistic regression, fitted on the reference samples, calls each query.

    Each dimension is brought to mean 0 and sd 1 on the reference samples. For each C of `GRID` a model is fitted on the
    reference samples alone; the one that classifies most validation samples rightly is taken as it is, of equal ones the most
    strongly regularised. Choosing C on validation: Kornblith et al., 2019, arXiv:1805.08974; Chen et al., 2020,
    arXiv:2002.05709, appendix B.8. Each fit is scikit-learn's `LogisticRegression` with that C, from zero.

    Args:
        vectors: queries, shape (n, D), float32.
        reference: labelled samples, shape (m, D), float32.
        reference_label_id: their labels, shape (m,).
        validation: vectors and labels of the samples that choose C, shapes (v, D), float32, and (v,); where there are none, C
            is `UNTUNED`.

    Returns:
        Labels, shape (n,), int; and the choice.
    """
    held_back, held_back_label_id = validation or (vectors[:0], reference_label_id[:0])
    n_validation = len(held_back)
    if len(np.unique(reference_label_id)) == 1:  # whatever C is
        share = float((held_back_label_id == reference_label_id[0]).mean()) if n_validation else None
        return np.full(len(vectors), reference_label_id[0]), ProbeChoice(UNTUNED, share, n_validation)
    reference = reference.astype(np.float64)  # so that processors agree but for ties
    scaler = StandardScaler().fit(reference)
    reference, queries, held_back = (scaler.transform(part.astype(np.float64)) if len(part) else part
                                     for part in (reference, vectors, held_back))

    def fit(c: float) -> LogisticRegression:
        return LogisticRegression(C=c, max_iter=_STEPS).fit(reference, reference_label_id)

    if n_validation == 0:
        return np.asarray(fit(UNTUNED).predict(queries)), ProbeChoice(UNTUNED, None, 0)
    with threadpool_limits(1):
        models = list(parts.at_once([partial(fit, c) for c in GRID]))
    shares = [float((model.predict(held_back) == held_back_label_id).mean()) for model in models]
    best = int(np.argmax(shares))  # the first of equal ones
    return np.asarray(models[best].predict(queries)), ProbeChoice(GRID[best], shares[best], n_validation)


def sentence(choices: Mapping[str, Sequence[ProbeChoice]]) -> str:
    """How strongly arms' probes are regularised; empty if nothing is known.

    Args:
        choices: arm -> a choice a seed.
    """
    known = {name: of_seeds for name, of_seeds in choices.items() if of_seeds}
    if not known:
        return ""
    n_validation = max(choice.n_validation for of_seeds in known.values() for choice in of_seeds)
    if n_validation == 0:
        return f"The probe has C = {UNTUNED:g} in every space, as there are no validation images to choose it on"
    listed = "; ".join(f"{name} {', '.join(f'{choice.c:g}' for choice in of_seeds)}" for name, of_seeds in known.items())
    return f"The probe's C, chosen on {n_validation:,} validation images, seed by seed: {listed}"

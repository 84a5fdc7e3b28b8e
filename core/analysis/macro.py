"""Macro averages: each class counts alike, however many test samples it has; beside averages in which each sample does.

The mean of recall by class of an accuracy (scikit-learn's `balanced_accuracy_score`), and the same of any value a sample.
"""

import numpy as np
from scipy.stats import norm, t

LEAST_TOLD = 0.005  # half a point: a macro average nearer to the plain one is told in files and by class alone


def weights(label_id: np.ndarray, is_defined: np.ndarray) -> np.ndarray:
    """What each sample counts in a macro average, 1 where classes are equally large; shape (n,), float64, mean 1 over those
    that have a value, 0 for the others. Classes without a value are left out.

    Args:
        label_id: shape (n,), int, from 0.
        is_defined: which samples have a value, shape (n,), bool.
    """
    n_of_class = np.bincount(label_id[is_defined], minlength=int(label_id.max()) + 1)
    n_classes = int((n_of_class > 0).sum())
    result = np.zeros(len(label_id))
    result[is_defined] = is_defined.sum() / (n_classes * n_of_class[label_id[is_defined]])
    return result


def contributions(values: np.ndarray, label_id: np.ndarray, group: np.ndarray,
                  gallery: np.ndarray | None = None) -> np.ndarray:
    """What each sample contributes to the macro average; the mean of the contributions is that average.

    As `resampling.contributions`, for a mean over K classes of the means of their n_c values: to first order one more of
    sample i moves it by (vᵢ − its class's mean) / (K n_c), and by what it does to the others' values, each weighted so. Of a
    class whose values come from G_c groups the first is spread by √(G_c / (G_c − 1)), without which rare classes would seem
    sure; a class of one group is held against the mean of all classes, as surveys do with strata of one unit (Lumley, 2010,
    Complex Surveys, ISBN 978-0-470-28430-8, option `lonely.psu = "adjust"`). All is spread by how much wider t is than normal
    with the degrees of freedom that classes of G_c groups, alike otherwise, leave: (Σ 1 / G_c)² / Σ 1 / (G_c² (G_c − 1))
    (Satterthwaite, 1946, doi:10.2307/3002019).

    Args:
        values: shape (seeds, n), nan where undefined; a sample without a value in one seed has none in any.
        label_id: shape (n,), int, from 0.
        group: samples that are drawn together, shape (n,).
        gallery: by how much the sum of the others' values, each times its `weights`, is higher with a sample, shape
            (seeds, n); None: by nothing.

    Returns:
        Shape (seeds, n), float64; nan where no sample has a value.
    """
    is_defined = ~np.isnan(values).any(axis=0)
    if not is_defined.any():
        return np.full(values.shape, np.nan)
    weight, n_labels = weights(label_id, is_defined), int(label_id.max()) + 1
    known, labels = values[:, is_defined], label_id[is_defined]
    average = (known * weight[is_defined]).mean(axis=1, keepdims=True)
    n_of_class = np.maximum(np.bincount(labels, minlength=n_labels), 1)
    of_class = np.stack([np.bincount(labels, weights=row, minlength=n_labels) for row in known]) / n_of_class
    pairs = np.unique(np.stack([labels, np.unique(group.astype(str), return_inverse=True)[1][is_defined]]), axis=1)
    n_groups = np.bincount(pairs[0], minlength=n_labels)
    spread = np.sqrt(n_groups / np.maximum(n_groups - 1, 1))
    center = np.where(n_groups > 1, of_class, average)
    change = np.zeros(values.shape)
    change[:, is_defined] = weight[is_defined] * spread[labels] * (known - center[:, labels])
    if gallery is not None:
        change += gallery
    change *= _wider(n_groups[n_groups > 0])
    return average + (change - change.mean(axis=1, keepdims=True)) * (len(is_defined) / is_defined.sum())


def _wider(n_groups: np.ndarray) -> float:
    """How much wider t is than normal for classes of so many groups each, all at least 1, at 95 %; shape (K,)."""
    share = 1 / n_groups
    freedom = share.sum() ** 2 / (share ** 2 / np.maximum(n_groups - 1, 1)).sum()
    return float(t.ppf(0.975, freedom) / norm.ppf(0.975))

"""2D layouts: PCA, UMAP, t-SNE, and layouts that stay put from one epoch or space to the next.

For looking only; no metric is computed from them. On one machine the same vectors give the same bits, whatever the process
and its number of threads: each layout is computed in one thread, since sums of several threads come in no fixed order. On
another kind of processor PCA is the same up to about 1e-6 of the layout's radius, unless two of the three largest variances
are as near each other. t-SNE and UMAP magnify last bits: there they are another picture of the same space, as with another
seed, in which classes may lie elsewhere.
"""

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Literal

import numpy as np
from scipy.linalg import eigh, orthogonal_procrustes
from threadpoolctl import threadpool_limits

from core.analysis import neighbors as nearby
from core.errors import InputError

Method = Literal["pca", "umap", "tsne"]
METHODS: tuple[Method, ...] = ("pca", "tsne", "umap")
_MOST_HEARD = 1000  # letters of what was printed last: an iteration's line is shorter
_EXACT_BITS = 53  # of float64: products and sums of whole numbers below 2^53 are exact, in any order


def project(vectors: np.ndarray, method: Method, seed: int = 0, start: np.ndarray | None = None,
            neighbors: int = 15, perplexity: float = 30.0, minimum_distance: float = 0.1,
            progress: Callable[[float], None] | None = None) -> np.ndarray:
    """A 2D layout of a space.

    PCA: Pearson, 1901. UMAP: McInnes et al., 2018, arXiv:1802.03426. t-SNE: van der Maaten & Hinton, 2008.

    Args:
        vectors: shape (n, D), float32.
        method: which layout.
        seed: seed of UMAP and t-SNE.
        start: layout to start from and to be turned onto, shape (n, 2); None starts from PCA.
        neighbors: UMAP's n_neighbors; fewer where there are fewer samples.
        perplexity: t-SNE's perplexity; less where there are fewer samples.
        minimum_distance: UMAP's min_dist, 0 to 1: how close points may lie.
        progress: called with the share of t-SNE's or UMAP's iterations that is done, 0 to 1. While they are at work, nothing
            that Python prints in this process comes through, whatever prints it: give it in a process of its own only.

    Returns:
        Shape (n, 2), float32.

    Raises:
        InputError: if there are fewer than 3 samples (4 for UMAP).
        ValueError: if the method is unknown, or the start is of another shape.
    """
    least = 4 if method == "umap" else 3
    if len(vectors) < least:
        raise InputError(f"a {method} layout must have at least {least} samples, got {len(vectors)}")
    if start is not None and start.shape != (len(vectors), 2):
        raise ValueError(f"start must have shape ({len(vectors)}, 2), got {start.shape}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    with threadpool_limits(1):
        match method:
            case "pca":
                layout = _pca(vectors)
            case "tsne":
                with _heard(progress, method, start is not None):
                    layout = _tsne(vectors, seed, start, perplexity, progress is not None)
            case "umap":
                with _heard(progress, method, start is not None):
                    layout = _umap(vectors, seed, start, neighbors, minimum_distance, progress is not None)
        if start is not None:
            layout = align(layout, start)
        return layout.astype(np.float32)


def align(layout: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Turns, mirrors and shifts a layout onto another of the same samples (Schönemann, 1966, doi:10.1007/BF02289451).

    Args:
        layout: shape (n, 2).
        onto: shape (n, 2).

    Returns:
        Shape (n, 2); distances within the layout are kept. A layout that already lies there is returned as it is.
    """
    if np.array_equal(layout.astype(np.float32), onto.astype(np.float32)):
        return onto
    middle = layout.mean(axis=0)
    rotation, _ = orthogonal_procrustes(layout - middle, onto - onto.mean(axis=0))
    return (layout - middle) @ rotation + onto.mean(axis=0)


def land(queries: np.ndarray, vectors: np.ndarray, layout: np.ndarray, method: Method, k: int = 5) -> np.ndarray:
    """Where other samples of a space would lie in its layout: exactly for PCA, else amid the places of their k nearest.

    Args:
        queries: shape (m, D), float32.
        vectors: what was laid out, shape (n, D), float32.
        layout: shape (n, 2), turned or not.
        method: which layout.
        k: how many of the nearest, by cosine.

    Returns:
        Shape (m, 2), float32.
    """
    if method == "pca":
        base = _pca(np.concatenate([vectors, queries]), n_fitted=len(vectors))
        turned = base[:len(vectors)]
        middle = turned.mean(axis=0)
        rotation, _ = orthogonal_procrustes(turned - middle, layout - layout.mean(axis=0))
        return ((base[len(vectors):] - middle) @ rotation + layout.mean(axis=0)).astype(np.float32)
    rows, _ = nearby.nearest(queries, vectors, k)
    return layout[rows].mean(axis=1).astype(np.float32)


def follow(vectors: np.ndarray, previous: np.ndarray | None, seed: int = 0) -> np.ndarray:
    """The next frame of a film: t-SNE started from the frame before, so that points move only as the space does.

    Args:
        vectors: probe samples, shape (n, D), float32.
        previous: the frame before, shape (n, 2); None for the first.
        seed: seed of the first frame.

    Returns:
        Shape (n, 2), float32.
    """
    from sklearn.manifold import TSNE

    if previous is None:
        return project(vectors, "tsne", seed)
    model = TSNE(init=_spread(previous, seed), perplexity=_perplexity(len(vectors), 30.0), early_exaggeration=1.0,
                 max_iter=250, random_state=seed)  # 250 is the least scikit-learn allows
    with threadpool_limits(1):
        return align(model.fit_transform(vectors), previous).astype(np.float32)


def _pca(vectors: np.ndarray, n_fitted: int | None = None) -> np.ndarray:
    """All vectors along the two directions in which the first `n_fitted` (None: all) differ most; shape (n, 2)."""
    if np.ptp(vectors[:n_fitted], axis=0).max() == 0:  # a space that collapsed to a point
        return np.zeros((len(vectors), 2))
    if vectors.shape[1] == 1:
        return np.pad(vectors, ((0, 0), (0, 1)))
    middle = vectors[:n_fitted].mean(axis=0, dtype=np.float64)
    centered = vectors - middle
    with threadpool_limits(1):
        return centered @ _directions(centered[:n_fitted])


def _directions(centered: np.ndarray) -> np.ndarray:
    """The two orthogonal directions in which centred vectors differ most, shape (D, 2), float64, of length 1.

    From the products of all pairs of columns, or of rows where these are fewer, of vectors rounded to whole numbers of so few
    bits that every sum of products is exact: it hangs neither on blocks nor on threads. Of each direction and its opposite,
    the one nearer to a fixed direction drawn at random, to which nothing that data has is orthogonal by its nature; the usual
    rule, that its largest part be positive, hangs on last bits where two parts are equally large.
    """
    n, width = centered.shape
    is_wide = width > n
    summed = width if is_wide else n
    bits = (_EXACT_BITS - int(np.ceil(np.log2(max(summed, 2))))) // 2 - 1
    _, exponent = np.frexp(np.abs(centered).max())
    whole = np.rint(np.ldexp(centered, bits - int(exponent)))  # below 2^bits
    products = whole @ whole.T if is_wide else whole.T @ whole
    last = len(products) - 1
    variances, vectors = eigh(products, subset_by_index=[last - 1, last])
    directions = np.where(variances > 1e-12 * variances[-1], vectors, 0.0)[:, ::-1]  # on a line there is no second
    if is_wide:
        directions = whole.T @ directions
    directions = directions / np.maximum(np.linalg.norm(directions, axis=0), np.finfo(np.float64).tiny)
    reference = np.random.default_rng(2).normal(size=width)
    return directions * np.where(reference @ directions < 0, -1.0, 1.0)


def _tsne(vectors: np.ndarray, seed: int, start: np.ndarray | None, perplexity: float, verbose: bool) -> np.ndarray:
    from sklearn.manifold import TSNE

    if start is None:
        init = _spread(_pca(vectors), seed)
        init, exaggeration = init / init[:, 0].std() * np.float32(1e-4), 12.0  # scikit-learn's own
    else:  # at full size and without exaggeration, which throws even a finished layout out of its minimum: of 48 samples
        # laid out again it moved each by 0.66 to 0.83 of the radius, without it by 0.002 to 0.005
        init, exaggeration = _spread(start, seed), 1.0
    model = TSNE(init=init, perplexity=_perplexity(len(vectors), perplexity), early_exaggeration=exaggeration,
                 max_iter=_iterations(start is not None), random_state=seed, verbose=2 * verbose)  # 1 says the end alone
    return model.fit_transform(vectors)


def _umap(vectors: np.ndarray, seed: int, start: np.ndarray | None, neighbors: int, minimum_distance: float,
          verbose: bool) -> np.ndarray:
    import umap  # imports numba: seconds, so only here

    spread = None if start is None else _spread(start, seed)
    init = "spectral" if spread is None else 10 * spread / np.abs(spread).max()  # umap's own ±10
    model = umap.UMAP(n_neighbors=min(neighbors, len(vectors) - 1), min_dist=minimum_distance, init=init, random_state=seed,
                      n_jobs=1, verbose=verbose)
    return model.fit_transform(vectors)


@contextmanager
def _heard(progress: Callable[[float], None] | None, method: Method, has_start: bool) -> Iterator[None]:
    """Makes calls of what a method prints of its iterations: neither scikit-learn nor umap calls anyone, and to run them in
    stages would change their numbers."""
    if progress is None:
        yield
        return

    tell = progress

    class Listener(io.TextIOBase):
        printed = ""

        def write(self, text: str) -> int:
            self.printed = (self.printed + text)[-_MOST_HEARD:]
            if (share := _share_printed(method, self.printed, has_start)) is not None:
                tell(share)
            return len(text)

    listener = Listener()
    with redirect_stdout(listener), redirect_stderr(listener):
        yield


def _share_printed(method: Method, printed: str, has_start: bool) -> float | None:
    """The share that is done, 0 to 1, by the last iteration that was printed; None if none was."""
    if method == "tsne":
        iterations = re.findall(r"\[t-SNE\] Iteration (\d+):", printed)
        return min(1.0, int(iterations[-1]) / _iterations(has_start)) if iterations else None
    iterations = re.findall(r"(\d+)/(\d+) \[", printed)  # tqdm's: epochs done of all
    return min(1.0, int(iterations[-1][0]) / int(iterations[-1][1])) if iterations else None


def _iterations(has_start: bool) -> int:
    return 500 if has_start else 1000  # of t-SNE; 1000 is scikit-learn's


def _perplexity(n: int, wanted: float) -> float:
    return min(wanted, (n - 1) / 3)  # the usual upper bound; scikit-learn refuses n or more


def _spread(layout: np.ndarray, seed: int) -> np.ndarray:
    """A start that is centred and has some width: points all in one place end scikit-learn's tree, and the process."""
    centered = np.ascontiguousarray(layout - layout.mean(axis=0), dtype=np.float32)
    if centered[:, 0].std() > 1e-12:
        return centered
    return np.random.default_rng([seed, 5]).normal(0, 1e-4, centered.shape).astype(np.float32)

"""Choosing a layout and its parameters, waiting for it, and saying how far it can be believed."""

from pathlib import Path

import numpy as np
import streamlit as st

from core.analysis import trust
from core.jobs import layout
from core.jobs.layout import Layouts, Settings
from pages.parts import address, file_stamp, roots, screen, space_tables
from pages.parts.text import LONGEST, plain

NAMES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}
_CHOSEN = "layout-settings"
SHORT, FEWEST = 1000, 100  # points whose trust is measured while the page waits: fewer the longer each takes
_DISTANCES = 100_000_000  # as many as a few seconds allow
_MEANING = ("Trustworthiness: are those that are near here near in the full dimension too? Continuity: do those that are "
            f"near in the full dimension lie near here? Of each point's {trust.NEIGHBORS} nearest outside its own group, by "
            "how many ranks they are wrong (Venna & Kaski, 2001); 0 to 1, best 1, about 0.5 for points strewn by chance. "
            "Misses all beyond them.")
_MOVED = ("Mean distance between a point's place in A and in B, B being started from A and turned onto it, in root mean "
          "square distances of A's points from their middle. The noise floor is A itself, laid out again in the same way with "
          "B's seed: what moves no more than that tells nothing of the spaces.")


def pick(parameter: str = "layout") -> Settings:
    """The layout and the parameters it heeds; the layout stands in the address under `parameter`."""
    st.session_state.setdefault(parameter, address.choose(parameter, list(NAMES)) or "pca")
    with st.container(horizontal=True, vertical_alignment="bottom", width="content", gap="small"):
        method = st.segmented_control("Layout", list(NAMES), format_func=NAMES.get, key=parameter, required=True,
                                      label_visibility="collapsed", on_change=address.press)
        with st.popover("", icon=":material/tune:", help="Parameters of the layout"):
            picked = _parameters(method)
    address.put(parameter, method)
    st.session_state[_CHOSEN] = picked
    return picked


def chosen() -> Settings:
    """The layout chosen last."""
    return st.session_state.get(_CHOSEN, Settings())


def ready(paths: list[Path], split: str, settings: Settings) -> Layouts | None:
    """Layouts if they are computed; draws and starts nothing."""
    if settings.method == "pca":
        return _pca(tuple(file_stamp.stamp(path) for path in paths), split)
    output = layout.output_of(paths, settings, split, _cache())
    return _read(*file_stamp.stamp(output)) if output.is_file() else None


def _cache() -> Path:
    return roots.checkpoints_root() / ".layouts"


def _parameters(method: str) -> Settings:
    if method == "pca":
        st.caption("PCA has no parameters: the two directions along which the images differ most.")
        return Settings("pca")
    with st.form(f"parameters-{method}", border=False):
        neighbors, distance, perplexity = Settings.neighbors, Settings.minimum_distance, Settings.perplexity
        if method == "umap":
            neighbors = st.slider("Neighbours", 2, 100, neighbors, key="umap-neighbors",
                                  help="How many of each point's nearest it should keep: few show detail, many the whole.")
            distance = st.slider("Minimum distance", 0.0, 0.99, distance, 0.01, key="umap-distance",
                                 help="How close points may lie: small makes tight clumps.")
        else:
            perplexity = st.slider("Perplexity", 2, 100, int(perplexity), key="tsne-perplexity",
                                   help="About how many neighbours each point should keep; less where there are few points.")
        seed = st.number_input("Seed", 0, 1_000_000, 0, key=f"{method}-seed",
                               help="Another seed, another layout: what both show is more likely true.")
        st.form_submit_button("Lay out", on_click=address.press)
    return Settings(method, neighbors, distance, float(perplexity), seed)


def compute(paths: list[Path], split: str, settings: Settings) -> Layouts | None:
    """Layouts of one or two tables; while a process computes them, draws how far it is, and gives None."""
    if layouts := ready(paths, split, settings):
        return layouts
    if address.may_begin("Lay out", f"{NAMES[settings.method]} of these images is not computed yet."):
        _wait(layout.request(paths, settings, split, _cache()), NAMES[settings.method])
    return None


def measured(paths: list[Path], split: str, layouts: Layouts) -> Layouts:
    """The same layouts with how far they can be believed; of PCA, which is computed here, that is measured on few points."""
    return layouts if layouts.trustworthiness else _pca_measured(tuple(file_stamp.stamp(path) for path in paths), split)


def say(paths: list[Path], split: str, layouts: Layouts) -> None:
    """In words, below the plots: what moves against the noise floor, how far to believe, and which classes only seem to
    touch."""
    layouts = measured(paths, split, layouts)
    places = [f" in {place}" for place in "AB"] if len(layouts.points) > 1 else [""]
    if layouts.moved is not None:
        little = ": most of that is the layout's own" if layouts.floor and layouts.moved < 1.5 * layouts.floor else ""
        st.caption(f"Points move {layouts.moved:.2f} of the plot's radius between A and B; the same space laid out twice "
                   f"moves {layouts.floor:.2f}{little}.", help=_MOVED)
    n, n_measured = len(layouts.points[0]), int(np.isfinite(layouts.trustworthiness[0]).sum())
    if n_measured == 0:
        st.caption("How far to believe it cannot be said: all images are of one group.")
        return
    parts = [f"trustworthiness {np.nanmean(near):.3f}, continuity {np.nanmean(lost):.3f}{place}"
             for near, lost, place in zip(layouts.trustworthiness, layouts.continuity, places)]
    sample = f", on {n_measured:,} of {n:,} points among all" if n_measured < n else ""
    st.caption(f"How far to believe it: {'; '.join(parts)}{sample}.", help=_MEANING)
    classes = space_tables.table(paths[0]).classes
    for place, pairs in zip(places, layouts.touches):
        if pairs:
            worst = pairs[0]
            more = f" So do {len(pairs) - 1:,} more pairs." if len(pairs) > 1 else ""
            pair = " and ".join(plain(classes[item], LONGEST) for item in (worst.label, worst.other))
            st.caption(f":material/warning: {pair} touch here{place}, but their "
                       f"images are not neighbours in full dimension: {_share(worst.here)} of the smaller class's neighbours "
                       f"here, {_share(worst.there)} there.{more}")


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


@screen.fragment(run_every=0.5)
def _wait(output: Path, name: str) -> None:
    status = layout.state(output)
    if output.is_file():
        st.rerun()
    if not status.is_running:
        st.error(f"The layout could not be computed: {plain(status.error or 'it was cancelled')}", icon=":material/error:")
        return
    st.progress(status.share, f"{name}: {plain(status.phase)} …")
    if st.button("Cancel", icon=":material/close:"):
        layout.cancel(output)


@st.cache_resource(max_entries=16, show_spinner=False)
def _read(output: str, modified: int, size: int) -> Layouts:
    return layout.read(Path(output))


@st.cache_resource(max_entries=8, show_spinner="Laying out …")
def _pca(stamps: tuple, split: str) -> Layouts:
    return layout.lay_out(space_tables.shared_of(stamps, split), Settings("pca"))


@st.cache_resource(max_entries=8, show_spinner=False)
def _pca_measured(stamps: tuple, split: str) -> Layouts:
    tables = space_tables.shared_of(stamps, split)
    return layout.measured(_pca(stamps, split), tables, min(SHORT, max(FEWEST, _DISTANCES // len(tables[0]))))

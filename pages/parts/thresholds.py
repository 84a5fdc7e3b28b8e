"""Same or not, known or unknown, on Compare: thresholds, their rates and the curves behind them, folded."""

from pathlib import Path

import pandas as pd
import streamlit as st

from core.analysis.statements import first_up
from core.experiments.handles import Experiment, Run
from core.report import figures, palette
from core.results import pairs, same_or_not, thresholds
from core.results.same_or_not import Compared
from pages.parts import file_stamp
from pages.parts.text import plain

_WHY = ("Two images are taken for the same class where the cosine of their vectors is at least a threshold. A pair "
        "never joins two images of one group. Lines: every threshold, means over seeds; diamonds: the chosen "
        "ones. Brackets: 95 % intervals.")


def draw(experiment: Experiment, images_per_class: int | str, a: str, b: str, names: tuple[str, str], look: int) -> None:
    """The section at one images-per-class, folded; of runs that an earlier version finished, on request.

    Args:
        experiment: which one.
        images_per_class: which runs.
        a, b: labels of the arms that are compared.
        names: what they are called in sentences.
        look: which look their comparison is at.
    """
    runs = pairs.common_seeds(experiment, a, b, images_per_class)
    with st.expander("Same or not"):
        if experiment.config.split.repeats > 1:
            st.caption(plain(f"{first_up(same_or_not.SEVERAL_SPLITS)}."))
            return
        if not all(thresholds.is_kept(run) for side in runs for run in side):
            st.caption("An earlier version finished these runs and chose no thresholds.")
            if not st.button("Count all pairs of images", icon=":material/compare:", key="count-pairs"):
                return
            with st.spinner("Counting pairs …"):
                for run in (run for side in runs for run in side):
                    thresholds.read(run)
            if all(thresholds.is_kept(run) for side in runs for run in side):  # else on a disk that is only to be read
                st.rerun()
        stamps = tuple(file_stamp.stamp(run.thresholds_file) for side in runs for run in side if run.thresholds_file.is_file())
        compared = _compared(*(tuple(str(run.folder) for run in side) for side in runs), names, look, stamps)
        _pairs(compared, (palette.ARM_A, palette.ARM_B))


@st.cache_data(max_entries=16, show_spinner="Comparing …")
def _compared(folders_a: tuple[str, ...], folders_b: tuple[str, ...], names: tuple[str, str], look: int,
              stamps: tuple) -> Compared:
    a, b = ([thresholds.read(Run(Path(folder))) for folder in folders] for folders in (folders_a, folders_b))
    n_bootstrap = Run(Path(folders_a[0])).config.evaluation.bootstrap
    return same_or_not.compare(names[0], a, names[1], b, n_bootstrap, look)


def _pairs(compared: Compared, colors: tuple[str, str]) -> None:
    for sentence in same_or_not.pair_sentences(compared):
        st.markdown(f"{plain(sentence)}.")
    drawn = [(side, color) for side, color in zip((compared.a, compared.b), colors) if side.curve]
    left, right = st.columns([4, 5])
    if drawn:
        left.plotly_chart(figures.roc(*zip(*drawn)), key="roc", config={"displayModeBar": False})
    with right:
        head, *lines = [same_or_not.head(compared), *same_or_not.rows(compared)]
        st.dataframe(pd.DataFrame(lines, columns=head), hide_index=True, width="stretch", height="content")
        st.caption(f"{_WHY} {same_or_not.NOT_ASKED}.")
    for sentence in same_or_not.unknown_sentences(compared):
        st.markdown(f"{plain(sentence)}.")

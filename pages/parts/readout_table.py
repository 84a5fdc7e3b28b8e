"""The same readout, all ways, on Compare: every arm at the pooled features, the projection and the logits."""


import pandas as pd
import streamlit as st

from core.analysis.metrics import METRICS
from core.config import ExperimentConfig
from core.experiments.handles import Experiment
from core.quantities import percent
from core.results import readouts
from pages.parts.text import plain


def draw(experiment: Experiment, config: ExperimentConfig, images_per_class: int | str, a: str, b: str) -> None:
    """The section at one images-per-class, folded.

    Args:
        experiment: which one.
        config: its config.
        images_per_class: which runs.
        a, b: labels of the arms that are compared.
    """
    rows = readouts.rows(experiment, config, images_per_class)
    earlier = readouts.earlier(experiment.run(run.name) for run in config.runs())
    if not rows:
        if earlier:
            st.caption(f"The readouts were {plain(earlier)}; they are not shown.")
        return
    with st.expander("The same readout, all ways"):
        metric = st.segmented_control("Metric", readouts.metrics_of(rows), format_func=lambda name: METRICS[name].title,
                                      required=True, default="map_at_r", key=f"readout-metric-{experiment.name}",
                                      label_visibility="collapsed")
        st.markdown(f"{plain(readouts.sentence(rows, a, b, metric))}.")
        names = list(dict.fromkeys(readouts.name_of(item) for row in rows for item in sorted(
            row["readouts"], key=lambda item: (readouts.PLACES.index(item["place"]), not item["is_unit"]))))
        order = sorted(names, key=lambda name: (readouts.PLACES.index(name.partition(",")[0]), name.endswith("raw")))
        cells = [{"arm": row["objective"], **{name: "–" for name in order},
                  **{readouts.name_of(item): percent(item[metric]["mean"], item[metric]["sd"], row["n_seeds"])
                     for item in row["readouts"]}} for row in rows]
        st.dataframe(pd.DataFrame(cells), hide_index=True, width="stretch")
        st.caption("Percent of test images. Pooled features are what every arm is compared by and exported with; a projection "
                   "or logits stand between them and some losses. Of length 1 by cosine, raw by Euclidean distance; K-means "
                   f"over {readouts.KMEANS_SEEDS} seeds. Means over runs, without intervals: for looking.")
        if earlier:
            st.caption(f"Some readouts were {plain(earlier)}; the numbers this concerns are not shown.")

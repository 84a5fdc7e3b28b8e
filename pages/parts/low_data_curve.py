"""The low-data curve on Compare: lines with bands, what they support in words, and the offer to run one."""


import streamlit as st

from core.analysis.metrics import METRICS
from core.config import ExperimentConfig
from core.experiments.handles import Experiment
from core.report import figures, palette
from core.results.result import Verdict
from pages.parts import address
from pages.parts.text import plain


def draw(experiment: Experiment, config: ExperimentConfig, verdict: Verdict) -> None:
    """The section of an experiment.

    Args:
        experiment: which one.
        config: its config.
        verdict: its verdict; without a curve where none can be drawn.
    """
    curve = verdict.curve
    if curve is None:
        if len(config.images_per_class) == 1:
            _offer(experiment)
        return
    title = METRICS[curve.metric].title
    st.subheader("With fewer images", help="Each line is one objective on the same test images; its band is the 95 % "
                 "interval of each point, over seeds and images. All objectives train on the same draws, and small draws are "
                 "part of larger ones. The dashed line is the encoder before training: the floor.")
    colors = dict(zip(config.arms, palette.arms(len(config.arms))))
    left, right = st.columns([5, 3])
    left.plotly_chart(figures.low_data_curve(curve, colors, title), key="low-data-curve", config={"displayModeBar": False})
    with right:
        for pair in curve.pairs:
            sentence = f"{plain(pair.sentence)}."
            st.markdown(f"**{sentence}**" if len(curve.pairs) == 1 else sentence)
            st.markdown(f"{plain(pair.crossing_sentence)}.")
        if curve.floor_sentence:
            st.caption(f"{plain(curve.floor_sentence)}.")
        st.caption("Intervals hold for each point alone; where many points are read together, one of twenty may mislead.")
        if curve.left_out:
            st.caption(f"Not complete yet: {', '.join(str(count) for count in curve.left_out)} images per class.")


def _offer(experiment: Experiment) -> None:
    st.caption("This experiment has one number of images per class. A low-data curve shows up to how many, or from how many "
               "on, one objective is better.")
    if st.button("Run the low-data curve", icon=":material/show_chart:", help="Opens Train with this experiment's settings "
                 "and the images per class, from one to all, that its dataset can carry."):
        address.press()
        st.switch_page("pages/train.py", query_params={"from": experiment.name, "curve": "1"})

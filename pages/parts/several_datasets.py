"""One conclusion from several datasets, on Start: which experiments, the sentence, the forest plot and the table.

Reads and computes nothing until it is switched on.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.experiments import datasets
from core.experiments.handles import Experiment
from core.visible import printable, visible
from pages.parts import file_stamp, screen
from pages.parts.text import plain

if TYPE_CHECKING:
    from core.results.conclusion import Conclusion

_MOST = 50  # datasets in one conclusion


def draw(experiments: list[Experiment]) -> None:
    """The section; nothing where fewer than two datasets have a verdict.

    Args:
        experiments: all there are.
    """
    if datasets.are_several(experiments):
        _section(experiments)


@screen.fragment()
def _section(experiments: list[Experiment]) -> None:
    if not st.toggle("One conclusion from several datasets", key="conclude", help="On how many datasets, at least, is one "
                     "objective better than the other? Choose finished experiments that ask the same question."):
        return
    known = {experiment.name: experiment for experiment in experiments
             if experiment.verdict_file.is_file() and printable(experiment.name) == experiment.name}
    chosen = st.multiselect("Experiments of different datasets", list(known), key="concluded-experiments",
                            max_selections=_MOST, placeholder="Choose two or more finished experiments")
    if len(chosen) > 1:
        _conclusion([known[name] for name in chosen])


def _conclusion(experiments: list[Experiment]) -> None:
    from core.analysis.metrics import METRICS  # scikit-learn takes a second to load: only here
    from core.errors import InputError
    from core.report import figures
    from core.results import conclusion

    try:
        found = _found(tuple(str(experiment.folder) for experiment in experiments),
                       tuple(file_stamp.stamp(path) for experiment in experiments for path in _files(experiment)))
    except InputError as error:
        st.warning(f"{plain(error)}.", icon=":material/error:")
        return
    st.markdown(f"**{plain(found.sentence)}.**")
    for item in found.left_out:
        st.markdown(f":orange[:material/report: Left out: {plain(item.experiment)} {plain(item.why)}.]")
    st.plotly_chart(figures.forest(found, METRICS[found.metric].title), key="forest", config={"displayModeBar": False})
    arms = {"A": f"A · {found.name_a}", "B": f"B · {found.name_b}"}
    head = [arms.get(name, name) for name in conclusion.HEAD]
    st.dataframe([dict(zip(head, map(visible, row))) for row in found.rows], hide_index=True, width="stretch",
                 column_config={conclusion.HEAD[-1]: st.column_config.TextColumn(help=conclusion.HELP_OF_AMONG_ALL)})
    st.caption(plain(" ".join(("Percent. Orange: B is better among all; blue: A is; grey: cannot tell.", found.method,
                               *found.notes, conclusion.NOT_COVERED))))


@st.cache_data(max_entries=16, show_spinner="Comparing …")
def _found(folders: tuple[str, ...], stamps: tuple) -> Conclusion:
    from core.results import conclusion, same_question

    return conclusion.conclude(same_question.ask([Experiment(Path(folder)) for folder in folders]))


def _files(experiment: Experiment) -> list[Path]:
    """What a conclusion reads of an experiment."""
    return [experiment.description_file, experiment.manifest_file, experiment.verdict_file, *sorted(experiment.scores_files)]

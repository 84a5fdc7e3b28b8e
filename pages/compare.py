"""COMPARE. Which is better, and is it real?"""

import tempfile
from contextlib import suppress
from pathlib import Path

import streamlit as st

from core.analysis.spending import level_words
from core.analysis.statements import first_up, macro_sentence, unfair_words
from core.config import arm_label
from core.errors import Damaged, InputError
from core.experiments import best, openings, trials
from core.experiments.handles import Experiment
from core.report import gathering, metric_figure
from core.results import pairs, verdict
from core.results.result import Pair, Verdict
from pages.parts import (
    address,
    experiment_picker,
    file_stamp,
    kmeans_confusion,
    linked_spaces,
    look_first,
    low_data_curve,
    metric_table,
    own_images,
    readout_table,
    run_words,
    screen,
    space_tables,
    thresholds,
    won_lost,
)
from pages.parts.text import plain

screen.enter(__file__)

experiment_picker.require("The verdict, and both spaces side by side,")
headline = st.container()
pickers = st.columns([3, 2, 2, 2, 2])
with pickers[0]:
    experiment = experiment_picker.pick()
config = experiment.config
done = {run.name: run for run in config.runs() if experiment.run(run.name).has_embeddings}
counts = [count for count in config.images_per_class
          if sum(run.is_trained and run.images_per_class == count for run in done.values()) >= min(2, len(config.objectives))]
if not counts:
    awaited = "two objectives have" if len(config.objectives) > 1 else "the objective has"
    experiment_picker.stop_until(f"The comparison will be here once {awaited} finished a run.", experiment)


@st.cache_data(max_entries=16, show_spinner="Comparing …")
def _found(folder: str, stamps: tuple) -> Verdict:
    return verdict.read(Experiment(Path(folder)))


stamps = (*(file_stamp.stamp(path) for path in (experiment.description_file, experiment.verdict_file)),
          *(file_stamp.stamp(experiment.run(name).scores_file) for name in done))
try:
    found = _found(str(experiment.folder), stamps)
except Damaged:
    raise  # said with what can be done
except InputError as error:
    st.error(f"{plain(error)}.", icon=":material/error:")
    st.stop()

with pickers[1]:
    count = address.pick("Images per class", counts, "images", default=len(counts) - 1)
arms = [label for label in config.all_arms
        if any(run.images_per_class == count and arm_label(run.objective) == label for run in done.values())]
n_frozen = sum(label in config.frozen_arms for label in arms)
is_alone = len(config.objectives) == 1  # then it is B, against the last encoder that is not trained; else the first is A
with pickers[2]:
    name_a = address.pick("A", arms, "a", default=n_frozen - is_alone)
with pickers[3]:
    name_b = address.pick("B", [label for label in arms if label != name_a], "b", default=n_frozen - is_alone)
seeds = [seed for seed in config.seeds
         if {f"{label}-{count}-seed{seed}" for label in (name_a, name_b)} <= done.keys()]
if not seeds:
    experiment_picker.stop_until("A and B have no finished seed in common yet.", experiment)
with pickers[4]:
    seed = address.pick("Seed", seeds, "seed", help_text="Whose spaces are drawn below; the table is over all seeds.")


@st.cache_data(max_entries=32, show_spinner="Comparing …")
def _compared(folder: str, a: str, b: str, images_per_class: int | str, stamps: tuple) -> Pair:
    return pairs.said(Experiment(Path(folder)), _found(folder, stamps), a, b, images_per_class)


run_a, run_b = (experiment.run(f"{name}-{count}-seed{seed}") for name in (name_a, name_b))
paths = [run_a.embeddings_file, run_b.embeddings_file]
try:
    compared = _compared(str(experiment.folder), name_a, name_b, count, stamps)
    with suppress(Damaged):  # said where the spaces are drawn: the numbers stand without them
        space_tables.shared(paths, "test")  # refuses labels that disagree
except Damaged:
    raise
except InputError as error:
    st.error(f"{plain(error)}.", icon=":material/error:")
    st.stop()
rows = found.arms(count)
with headline:
    st.header(f"{plain(compared.sentence)}.")
    run_words.leak_note(run for run in done.values() if run.images_per_class == count and run.seed == seed
                        and arm_label(run.objective) in (name_a, name_b))
    if compared.is_worth_of_leak:
        st.caption("The leak alone sets B apart from A. Tested on different images where the split differs, so the interval "
                   "is wider.")
    elif compared.confounders:
        st.markdown(f":red[:material/warning: {plain(first_up(unfair_words(compared.confounders)))}.]")
    elif compared.leaks_a or compared.leaks_b:
        pass  # said above, in red
    elif "untrained" in (name_a, name_b) and not {name_a, name_b} <= set(config.frozen_arms):
        st.caption("Measured against the encoder as it was before training.")
    elif {name_a, name_b} <= set(config.frozen_arms):
        st.caption("Neither A nor B was trained here.")
    elif {name_a, name_b} & set(config.frozen_arms):
        st.caption("Measured against another encoder, which was not trained here.")
    else:
        st.caption(":material/balance: Fair: same encoder, split, images, batches, budget and evaluation; the objective "
                   "alone differs.")
    if compared.look_note:
        st.markdown(f":orange[:material/visibility: {plain(compared.look_note)}.]")
    if len(seeds) < len(config.seeds) and compared.differences[0].verdict:  # else the headline says so
        st.caption(f"{len(seeds)} of {len(config.seeds)} seeds are finished; this will change.")
    if said := found.worth_of_training(count):
        st.markdown(f":material/model_training: {plain(said)}.")

# Both spaces

kept = [letter for letter, run in (("A", run_a), ("B", run_b)) if run.config.is_trained and best.epoch(run) == 0]
if kept:
    which = "both spaces are" if len(kept) == 2 else f"{kept[0]}'s space is"
    st.caption(f":material/info: No epoch of seed {plain(seed)} was better on validation than the encoder before training: "
               f"{plain(which)} that encoder's.")
with screen.in_words():
    linked_spaces.draw(experiment, paths, (name_a, name_b), has_stars=st.session_state.get("view") == "query")

# Closer, one view at a time: each is drawn only when asked for

VIEWS = {"confusion": kmeans_confusion, "won and lost": won_lost, "where to look first": look_first, "query": own_images}
st.session_state.setdefault("view", address.choose("view", list(VIEWS)) or "confusion")
view = st.segmented_control("Look closer", list(VIEWS), key="view", required=True, label_visibility="collapsed",
                            format_func=lambda name: {"confusion": "K-means confusion"}.get(name, name.capitalize()))
address.put("view", view)
with screen.in_words():
    VIEWS[view].draw(experiment, (run_a, run_b), (name_a, name_b))

# The numbers

st.subheader("Every metric")
if "untrained" not in (name_a, name_b):
    metric_table.untrained(rows, (name_a, name_b))
st.plotly_chart(metric_figure.draw(compared, rows, (name_a, name_b)), key="metrics", config={"displayModeBar": False})
metric_table.table(compared, rows, len(seeds))
n_test = max(item.n_samples for item in compared.differences)  # of retrieval, only queries with something to find
level = plain(level_words(compared.differences[0].alpha))
n_splits = compared.differences[0].n_splits
on = f" on {n_splits} splits" if n_splits > 1 else ""
over, drawn = ((f"mean ± sd over {len(seeds)} seeds{on}", f"{'splits, ' if on else ''}seeds and images") if len(seeds) > 1 else
               ("one seed", "images alone"))
n_draws, note = compared.n_bootstrap, compared.draws_note
st.caption(f"Percent of {n_test:,} test images, each counted alike, {over}; the {level} interval is a bootstrap over {drawn}, "
           f"whole groups at a time, {n_draws:,} draws{f' ({note})' if note else ''}.")
if said := macro_sentence(compared):
    st.markdown(f":material/balance: Above, each test image counts alike. {plain(said)}.")
if said := found.asked(count):
    st.caption(f"{plain(said)}.")
metric_table.chance(rows, (name_a, name_b))
compared_runs = [done[f"{label}-{count}-seed{item}"] for label in (name_a, name_b) for item in seeds]
st.caption(plain(" ".join(filter(None, (openings.sentence(experiment), trials.sentence(experiment, compared_runs))))))

low_data_curve.draw(experiment, config, found)

metric_table.open_set(found, count, name_a, name_b)
metric_table.details(compared, [row for row in rows if row.objective in ("untrained", name_a, name_b)])
with screen.in_words():
    readout_table.draw(experiment, config, count, name_a, name_b)
with screen.in_words():
    thresholds.draw(experiment, count, name_a, name_b, (compared.name_a, compared.name_b), compared.look)


def _report() -> bytes:
    with tempfile.TemporaryDirectory() as temporary:
        page = Path(temporary) / experiment.report_file.name
        gathering.write(experiment, page, (name_a, name_b, count))
        return page.read_bytes()


st.download_button("Download the report", _report, f"{experiment.name}-report.html", "text/html",
                   icon=":material/description:", on_click="ignore", help="The sentence, its fairness, every number, both "
                   "spaces, what was won and lost, and how to do it again: one page of 2 MB that needs no network and "
                   "prints well.")

"""COMPARE. Which is better, and is it real?"""

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st

from core.analysis import table as tables
from core.analysis.comparison import first_up, unfair_words
from core.analysis.metrics import METRICS
from core.analysis.table import EmbeddingTable
from core.config import arm_label
from core.runs import directory, openings, reporting, trials, verdict
from pages import _confusion, _curve, _layouts, _look_first, _query, _shared, _spaces, _won_lost

_shared.enter(__file__)

_shared.require_experiment("The verdict, and both spaces side by side,")
headline = st.container()
pickers = st.columns([3, 2, 2, 2, 2])
with pickers[0]:
    folder = _shared.pick_experiment()
config = directory.read_config(folder)
done = {run.name: run for run in config.runs() if (folder / run.name / "embeddings.parquet").is_file()}
counts = [count for count in config.images_per_class
          if sum(run.is_trained and run.images_per_class == count for run in done.values()) >= 2]
if not counts:
    _shared.stop_until("The comparison will be here once two objectives have finished a run.", folder)


@st.cache_data(max_entries=16, show_spinner="Comparing …")
def _verdict(experiment: str, stamps: tuple) -> dict:
    return verdict.decide(Path(experiment))


stamps = tuple(_shared.stamp(folder / name / "scores.parquet") for name in done)
found = _verdict(str(folder), stamps)

with pickers[1]:
    count = _shared.pick("Images per class", counts, "images", default=len(counts) - 1)
arms = [label for label in ("untrained", *config.arms)
        if any(run.images_per_class == count and arm_label(run.objective) == label for run in done.values())]
with pickers[2]:
    name_a = _shared.pick("A", arms, "a", default=1)
with pickers[3]:
    name_b = _shared.pick("B", [label for label in arms if label != name_a], "b", default=1)
seeds = [seed for seed in config.seeds
         if {f"{label}-{count}-seed{seed}" for label in (name_a, name_b)} <= done.keys()]
if not seeds:
    _shared.stop_until("A and B have no finished seed in common yet.", folder)
with pickers[4]:
    seed = _shared.pick("Seed", seeds, "seed", help_text="Whose spaces are drawn below; the table is over all seeds.")


@st.cache_data(max_entries=32, show_spinner="Comparing …")
def _compared(experiment: str, a: tuple[str, ...], b: tuple[str, ...], stamps: tuple) -> dict:
    def scores(names: tuple[str, ...]) -> verdict.Scores:
        runs = [Path(experiment) / name for name in names]
        return verdict.scores_of_runs(runs, verdict.title_of(runs[0]))

    return verdict.compare(scores(a), scores(b), config.evaluation.bootstrap).to_json()


compared = _compared(str(folder), tuple(f"{name_a}-{count}-seed{item}" for item in seeds),
                     tuple(f"{name_b}-{count}-seed{item}" for item in seeds), stamps)
with headline:
    st.header(f"{compared['sentence']}.")
    _shared.leak_note(run for run in done.values() if run.images_per_class == count and run.seed == seed
                      and arm_label(run.objective) in (name_a, name_b))
    if compared["is_worth_of_leak"]:
        st.caption("The leak alone sets B apart from A. Tested on different images where the split differs, so the interval "
                   "is wider.")
    elif compared["confounders"]:
        st.markdown(f":red[:material/warning: {first_up(unfair_words(compared['confounders']))}.]")
    elif compared["leaks_a"] or compared["leaks_b"]:
        pass  # said above, in red
    elif "untrained" in (name_a, name_b):
        st.caption("Measured against the encoder as it was before training.")
    else:
        st.caption(":material/balance: Fair: same encoder, split, images, batches, budget and evaluation; the objective "
                   "alone differs.")
    if len(seeds) < len(config.seeds):
        st.caption(f"{len(seeds)} of {len(config.seeds)} seeds are finished; this will change.")


def _cell(summary: dict) -> str:
    return f"{100 * summary['mean']:.1f}" + (f" ± {100 * summary['sd']:.1f}" if len(seeds) > 1 else "")


rows = {row["objective"]: row["metrics"] for row in found["rows"] if row["images_per_class"] == count}
lines = []
for item in compared["differences"]:
    line = {"metric": METRICS[item["metric"]].title}
    for title, label in (("untrained", "untrained"), (f"A · {name_a}", name_a), (f"B · {name_b}", name_b)):
        line[title] = _cell(rows[label][item["metric"]]) if label in rows else "–"
    line["B − A, 95 % interval"] = (f"{100 * item['difference']:+.1f}  [{100 * item['low']:+.1f}, "
                                    f"{100 * item['high']:+.1f}]")
    line["can we tell?"] = {"better": "B is better", "worse": "A is better"}.get(item["verdict"], "cannot tell")
    lines.append(line)
st.dataframe(pd.DataFrame(lines), hide_index=True, width="stretch", column_config={
    "metric": st.column_config.TextColumn(help=" ".join(f"{info.title}: {info.meaning}" for info in METRICS.values()))})
n_test = compared["differences"][0]["n_samples"]
over = f"mean ± sd over {len(seeds)} seeds" if len(seeds) > 1 else "one seed"
st.caption(f"Percent of {n_test:,} test images, {over}; the interval is a bootstrap over seeds and images, whole groups "
           f"at a time. K-means accuracy alone is never the verdict: very different spaces can share it.")
compared_runs = [done[f"{label}-{count}-seed{item}"] for label in (name_a, name_b) for item in seeds]
st.caption(" ".join(filter(None, (openings.sentence(folder), trials.sentence(folder, compared_runs)))))

_curve.draw(folder, config, found)

if compared["settings"]:
    with st.expander("What differs between A and B"):
        st.dataframe(pd.DataFrame([{"setting": item["name"], "A": item["a"], "B": item["b"], "judged": item["kind"],
                                    "why": item["why"], "field": item["field"]} for item in compared["settings"]]),
                     hide_index=True, width="stretch")


def _report() -> bytes:
    with tempfile.TemporaryDirectory() as temporary:
        page = Path(temporary) / "report.html"
        reporting.write(folder, page, (name_a, name_b, count))
        return page.read_bytes()


st.download_button("Download the report", _report, f"{folder.name}-report.html", "text/html", icon=":material/description:",
                   on_click="ignore", help="The sentence, its fairness, every number, both spaces, what was won and lost, and "
                   "how to do it again: one page of 2 MB that needs no network and prints well.")

# Both spaces

paths = [folder / f"{name}-{count}-seed{seed}" / "embeddings.parquet" for name in (name_a, name_b)]
tested = [_spaces.table(path).of_split("test") for path in paths]
spaces: list[EmbeddingTable] = tables.shared_rows(tested)
if len(spaces[0]) < max(len(space) for space in tested):
    st.caption(f"A and B were split differently: {len(spaces[0]):,} images are test images of both and stand below in both "
               f"spaces; the numbers and the confusion are of all.")
with st.container(horizontal=True, vertical_alignment="bottom", horizontal_alignment="distribute"):
    st.subheader("Both spaces, test images", help="Lasso or click in one; the same images stand out in the other. "
                 "Layouts are for looking: every number is from the full dimension.")
    settings = _layouts.pick()
left, middle, right = st.columns([5, 5, 3])
with left:
    laid_out = _layouts.compute(paths, "test", settings)
if laid_out:
    for place, column, name, space, points in zip("AB", (left, middle), (name_a, name_b), spaces, laid_out.points):
        with column, st.container(border=True):
            st.markdown(f"**{place} · {name}**")
            _spaces.space_chart(folder, f"compare-{place}", points, space, height=380, extent=np.concatenate(laid_out.points))
    _layouts.say(paths, "test", laid_out)

chosen = [sample_id for sample_id in _spaces.selected(folder) if sample_id in set(spaces[0].sample_id.tolist())]
place_of = {sample_id: row for row, sample_id in enumerate(spaces[0].sample_id.tolist())}


def _neighbor_strip(space: EmbeddingTable, title: str, row: int) -> None:
    near = _spaces.neighbors(space, row, 5)
    n_same = sum(space.label[item] == space.label[row] for item in near)
    st.caption(f"{title}: {n_same} of {len(near)} nearest have its class")
    _spaces.gallery(folder, [space.sample_id[item] for item in near], [space.label[item] for item in near], 5, 5)


with right:
    if not chosen:
        st.caption(":material/lasso_select: Lasso or click points in either space: their images, clusters and neighbours "
                   "will be here.")
    else:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{len(chosen):,} selected**")
            if st.button("Clear", icon=":material/close:", key="clear-selection"):
                _spaces.select(folder, [])
                st.rerun()
        with st.container(height=380, border=False):
            captions = [f"{spaces[0].label[place_of[item]]} · A {spaces[0].classes[spaces[0].cluster[place_of[item]]]} · "
                        f"B {spaces[1].classes[spaces[1].cluster[place_of[item]]]}" for item in chosen]
            _spaces.gallery(folder, chosen, captions, columns=3, most=12)
            looked_at = st.selectbox("Neighbours of", chosen)
            for space, title in zip(spaces, (f"A · {name_a}", f"B · {name_b}")):
                _neighbor_strip(space, title, place_of[looked_at])

# Closer, one view at a time: each is drawn only when asked for

VIEWS = {"confusion": _confusion, "won and lost": _won_lost, "where to look first": _look_first, "query": _query}
asked = st.query_params.get("view", "")
st.session_state.setdefault("view", asked if asked in VIEWS else "confusion")
view = st.segmented_control("Look closer", list(VIEWS), key="view", required=True, label_visibility="collapsed",
                            format_func=lambda name: {"confusion": "K-means confusion"}.get(name, name.capitalize()))
st.query_params["view"] = view
VIEWS[view].draw(folder, tuple(path.parent for path in paths), (name_a, name_b))

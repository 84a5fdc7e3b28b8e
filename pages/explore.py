"""EXPLORE. What does this space know?"""

from collections import Counter

import numpy as np
import streamlit as st

from core.data.manifest import OPEN
from core.runs import directory
from pages import _shared, _spaces

_shared.enter(__file__)

_shared.require_experiment("A space, its images and their neighbours")
headline = st.container()
pickers = st.columns([3, 3, 2, 2, 3])
with pickers[0]:
    folder = _shared.pick_experiment()
done = _shared.finished_runs(folder, "Points, images and neighbours")
with pickers[1]:
    name = _shared.pick("Run", done, "run", default=len(done) - 1)
with headline:
    _shared.leak_note([directory.read_run(folder / name)])
whole = _spaces.table(folder / name / "embeddings.parquet")
with pickers[2]:
    is_open = (whole.split == OPEN).any()
    split = _shared.pick("Images", ["test", *([OPEN] if is_open else []), "validation", "train", "all"], "split")
space = whole if split == "all" else whole.of_split(split)
with pickers[3]:
    color = _shared.pick("Colour by", ["label", "cluster", "right or wrong"], "color")
with pickers[4]:
    isolated = st.selectbox("Isolate a class", space.classes, index=None, placeholder="all classes")

is_right = space.cluster == space.label_id
label_id, classes = {
    "label": (space.label_id, space.classes),
    "cluster": (space.cluster, space.classes),
    "right or wrong": (np.where(is_right, 2, 5).astype(np.int32), ("", "", "right cluster", "", "", "wrong cluster")),
}[color]
counts = Counter(zip(space.label[~is_right].tolist(), (space.classes[item] for item in space.cluster[~is_right])))
confused = f"; most often {counts.most_common(1)[0][0][0]} lies with {counts.most_common(1)[0][0][1]}" if counts else ""
headline.header(f"{100 * is_right.mean():.1f} % of {len(space):,} {'' if split == 'all' else split + ' '}images lie in their "
                f"class's cluster{confused}.")

left, right = st.columns([7, 4])
with left, st.container(border=True):
    only = space.classes.index(isolated) if isolated and color == "label" else None
    _spaces.space_chart(folder, f"explore-{name}", space.layout, space, only, label_id, classes, height=560)
    st.caption(f"{whole.metadata['projection']['method'].upper()} of the whole dataset, for looking; neighbours are from all "
               f"{space.embedding.shape[1]} dimensions.")

place_of = {sample_id: row for row, sample_id in enumerate(space.sample_id.tolist())}
with right:
    wanted = st.selectbox("Find an image", space.sample_id.tolist(), index=None, placeholder="type part of its name")
    chosen = [wanted] if wanted else [item for item in _spaces.selected(folder) if item in place_of]
    if not chosen:
        st.caption(":material/lasso_select: Lasso or click points, or find an image by name: it and its nearest neighbours "
                   "will be here.")
    else:
        st.markdown(f"**{len(chosen):,} selected**")
        with st.container(height=460, border=False):
            captions = [f"{space.label[place_of[item]]} · cluster {space.classes[space.cluster[place_of[item]]]}"
                        for item in chosen]
            _spaces.gallery(folder, chosen, captions, columns=4, most=16)
            looked_at = st.selectbox("Neighbours of", chosen)
            row = place_of[looked_at]
            near = _spaces.neighbors(space, row, 12)
            n_same = sum(space.label[item] == space.label[row] for item in near)
            st.caption(f"{n_same} of the {len(near)} nearest are {space.label[row]} too.")
            _spaces.gallery(folder, [space.sample_id[item] for item in near], [space.label[item] for item in near], 4, 12)

"""EXPLORE. What does this space know?"""

from collections import Counter

import streamlit as st

from core.data.manifest import OPEN
from core.visible import visible
from pages.parts import (
    address,
    coloring,
    experiment_picker,
    image_strips,
    layouts,
    own_images,
    run_words,
    sample_images,
    screen,
    selection,
    space_chart,
    space_tables,
)
from pages.parts.text import LONGEST, plain

NEAREST = 10

screen.enter(__file__)

experiment_picker.require("A space, its images and their neighbours")
headline = st.container()
pickers = st.columns([3, 3, 2, 2, 3])
with pickers[0]:
    experiment = experiment_picker.pick()
done = experiment_picker.finished_runs(experiment, "Points, images and neighbours")
with pickers[1]:
    name = address.pick("Run", done, "run", default=len(done) - 1)
with headline:
    run_words.leak_note([experiment.run(name).config])
path = experiment.run(name).embeddings_file
whole = space_tables.table(path)
with pickers[2]:
    is_open = (whole.split == OPEN).any()
    split = address.pick("Images", ["test", *([OPEN] if is_open else []), "validation", "train", "all"], "split")
space = space_tables.of_split(path, split)
with pickers[3]:
    title = address.pick("Colour by", coloring.choices([space]), "color")
with pickers[4]:
    isolated = st.selectbox("Isolate a class", space.classes, index=None, placeholder="all classes", format_func=visible,
                            help="A click on a class in the plot's legend does it too.")

is_right = space.cluster == space.label_id
wrong = ~is_right & (space.cluster >= 0)
counts = Counter(zip(space.label[wrong].tolist(), (space.classes[item] for item in space.cluster[wrong])))
pair = [plain(name, LONGEST) for name in counts.most_common(1)[0][0]] if counts else []
confused = f"; most often {pair[0]} lies with {pair[1]}" if pair else ""
headline.header(f"{100 * is_right.mean():.1f} % of {len(space):,} {'' if split == 'all' else split + ' '}images lie in their "
                f"class's cluster{confused}.")

left, right = st.columns([7, 4])
with left, st.container(border=True):
    settings = layouts.pick()
    laid_out = layouts.compute([path], split, settings)
    if laid_out is not None:
        color = coloring.color(title, [space], [experiment.run(name)], (name,),
                               trust=lambda wanted: getattr(layouts.measured([path], split, laid_out), wanted))
        space_chart.draw(experiment, f"explore-{name}", laid_out.points[0], space,
                         space.classes.index(isolated) if isolated else None, color=color, height=540,
                         stars=own_images.stars(experiment, [experiment.run(name)], [space], laid_out.points, settings, split))
        layouts.say([path], split, laid_out)
    st.caption(f"Layouts are for looking; neighbours are from all {space.embedding.shape[1]} dimensions.")

place_of = {sample_id: row for row, sample_id in enumerate(space.sample_id.tolist())}
with right:
    wanted = st.selectbox("Find an image", space.sample_id.tolist(), index=None, placeholder="type part of its name",
                          format_func=visible)
    chosen = [wanted] if wanted else [item for item in selection.selected(experiment) if item in place_of]
    if not chosen:
        st.caption(":material/lasso_select: Lasso or click points, or find an image by name: it and its nearest neighbours "
                   "will be here.")
    else:
        st.markdown(f"**{len(chosen):,} selected**")
        with st.container(height=520, border=False):
            looked_at = st.selectbox("Neighbours of", chosen, format_func=visible)
            row = place_of[looked_at]
            near = space_tables.neighbors(space, row, NEAREST)
            n_same = sum(space.label[item] == space.label[row] for item in near)
            st.caption(f"{n_same} of the {len(near)} nearest are {plain(space.label[row], LONGEST)} too." if len(near) else
                       "No image of this split lies outside its own group.")
            image_strips.strip(experiment, space.sample_id[near].tolist(), space.label[near].tolist(), space.label[row])
            captions = [" · cluster ".join([space.label[place_of[item]], *([space.classes[space.cluster[place_of[item]]]]
                                                                            if space.cluster[place_of[item]] >= 0 else [])])
                        for item in chosen]
            sample_images.gallery(experiment, chosen, captions, columns=4, most=16)

own_images.draw(experiment, (experiment.run(name),), (name,), split)

"""DATA. Can I trust these images and this split?"""

import numpy as np
import pandas as pd
import streamlit as st

from core.config import SplitConfig
from core.data import sources, split
from core.data.manifest import SPLITS, Manifest
from core.runs import directory
from pages import _datasets, _shared

_shared.enter(__file__)

PER_CLASS = 8  # images of a class in the grid
MOST_CLASSES = 40

experiments = [folder.name for folder in directory.experiments(_shared.checkpoints_root())]
headline = st.container()
wanted = st.query_params.get("experiment", "")
chosen = st.selectbox("Samples of", ["", *experiments], index=experiments.index(wanted) + 1 if wanted in experiments else 0,
                      format_func=lambda name: f"experiment {name}" if name else "a dataset not trained on yet")
st.query_params["experiment"] = chosen
if chosen:
    folder = _shared.checkpoints_root() / chosen
    config = directory.read_config(folder)
    dataset, split_config, counts_asked = config.dataset, config.split, config.images_per_class
    manifest = directory.read_manifest(folder)
else:
    dataset = _datasets.pick_dataset()
    scanned = _datasets.scan(dataset) if dataset else None
    if scanned is None:
        st.stop()
    split_config, counts_asked = SplitConfig(), ("all",)
    try:
        manifest = split.assign(scanned, split_config, seeds=(0,))
    except ValueError as error:
        st.error(f"These images cannot be split: {error}", icon=":material/error:")
        st.stop()

proof = split.prove(manifest)
n_groups = len(set(manifest.group.tolist()))
groups = f", {n_groups:,} groups" if n_groups < len(manifest) else ""
shared = ("nothing is shared between train, validation and test" if proof.holds else
          f"{proof.shared_groups} groups and {proof.shared_samples} images are on two sides of the split")
headline.header(f"{len(manifest):,} images, {len(manifest.classes)} classes{groups}; {shared}.")
if manifest.unreadable:
    with headline.expander(f":orange[{len(manifest.unreadable)} files could not be read and are left out]"):
        st.dataframe(pd.DataFrame([{"file": item.path, "reason": item.reason} for item in manifest.unreadable]),
                     hide_index=True)

st.subheader("Images per class and split")
table = pd.DataFrame({"class": manifest.classes,
                      **{name: list(manifest.counts(manifest.indices(name)).values()) for name in SPLITS}})
table["all"] = table[list(SPLITS)].sum(axis=1)
left, right = st.columns([3, 4])
left.dataframe(table, hide_index=True, height=min(420, 38 + 35 * len(table)))
with right:
    smallest = int(table["train"].min())
    st.markdown(f"- Split {' / '.join(f'{100 * share:.0f} %' for share in split_config.fractions)}, by class and by group, "
                f"seed {split_config.seed}.\n"
                f"- Shared across splits: **{proof.shared_groups}** groups, **{proof.shared_samples}** images.\n"
                f"- Images per class can be up to **{smallest}**, the training images of the smallest class; subsets are "
                f"nested, and validation and test stay the same.")
    first_seed = next(iter(manifest.rank))
    held = [{"images per class": str(count), "training images": len(manifest.training_indices(count, first_seed))}
            for count in counts_asked]
    st.dataframe(pd.DataFrame(held), hide_index=True)


@st.cache_data(max_entries=16, show_spinner="Reading samples …")
def _samples(fingerprint: str, label: str, seed: int) -> list[tuple[bytes, str]]:
    return _read_samples(manifest, label, seed)


def _read_samples(of: Manifest, label: str, seed: int) -> list[tuple[np.ndarray, str]]:
    source = sources.open_source(dataset)
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(of.label == label))[:PER_CLASS]
    found = []
    for row in rows:
        image = source.image(of.sample_id[row])
        image = image.resize((96, 96), 0) if min(image.size) < 96 else image
        image.thumbnail((192, 192))
        found.append((np.asarray(image), of.sample_id[row]))
    return found


st.subheader("Samples")
seed = st.session_state.setdefault("samples-seed", 0)
if st.button("Others", icon=":material/shuffle:"):
    st.session_state["samples-seed"] = seed = seed + 1
for label in manifest.classes[:MOST_CLASSES]:
    columns = st.columns([2] + [1] * PER_CLASS, vertical_alignment="center")
    columns[0].markdown(f"**{label}** · {manifest.counts()[label]:,}")
    try:
        for column, (pixels, name) in zip(columns[1:], _samples(manifest.fingerprint, label, seed)):
            column.image(pixels, width="stretch", alt=name)
    except OSError as error:
        columns[1].caption(f":material/broken_image: {error}")
if len(manifest.classes) > MOST_CLASSES:
    st.caption(f"{MOST_CLASSES} of {len(manifest.classes)} classes shown.")

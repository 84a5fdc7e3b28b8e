"""DATA. Can I trust these images and this split?"""

import numpy as np
import pandas as pd
import streamlit as st

from core.config import DatasetConfig, SplitConfig
from core.data import census, separation, sources, split
from core.data.duplicates import Pair
from core.data.levels import from_json
from core.data.manifest import LEFT_OUT, OPEN, SPLITS
from core.errors import ChangedFile, InputError
from core.experiments.handles import Experiment
from core.visible import visible
from pages.parts import address, dataset_form, experiment_picker, moved_images, roots, run_words, sample_images, screen
from pages.parts.text import LONGEST, plain

screen.enter(__file__)

PER_CLASS = 8  # images of a class in the grid
MOST_CLASSES = 40
MOST_PAIRS = 30

experiments = experiment_picker.names()
headline = st.container()
wanted = address.choose("experiment", experiments)
chosen = st.selectbox("Samples of", ["", *experiments], index=experiments.index(wanted) + 1 if wanted in experiments else 0,
                      format_func=lambda name: f"experiment {name}" if name else "a dataset not trained on yet")
address.put("experiment", chosen)
if chosen:
    experiment = Experiment(roots.checkpoints_root() / chosen)
    st.session_state["experiment"] = chosen
    moved_images.offer_place(experiment)
    config = experiment.config
    dataset, split_config, counts_asked = config.dataset, config.split, config.images_per_class
    manifest = experiment.manifest()
    if config.split.repeats > 1:
        st.caption(plain(f"The first of {config.split.repeats} splits; seed s trains and is tested on split s mod "
                         f"{config.split.repeats}."))
else:
    dataset = dataset_form.pick_dataset()
    scanned = dataset_form.scan(dataset, offer_again=True) if dataset else None
    if scanned is None:
        st.stop()
    has_official = bool((scanned.official != "").any())
    split_config = SplitConfig(official=not has_official or st.toggle(
        "Keep the dataset's own split", True, key="keep-official", help="Else a split is drawn (split.official: false)."))
    try:
        manifest = split.assign(scanned, split_config, seeds=(0,))
    except InputError as error:
        st.error(f"These images cannot be split: {plain(error)}", icon=":material/error:")
        st.stop()

proof = split.prove(manifest)
n_groups = len(set(manifest.group.tolist()))
groups = f", {n_groups:,} groups" if n_groups < len(manifest) else ""
known = plain(separation.headline(manifest))
shared = known if separation.is_separate(manifest) else f":red[{known}]"
headline.header(f"{len(manifest):,} images, {len(manifest.classes)} classes{groups}; {shared}.")
if chosen:
    with headline:
        run_words.leak_note(config.runs())
sentence = separation.sentence(manifest)
more = "" if sentence == separation.headline(manifest) else f"{sentence[0].upper()}{sentence[1:]}."
notes = [*filter(None, [f"{more} {separation.advice(manifest)}".strip()]), *census.summary(manifest)]
suggested = separation.suggestion(manifest) if dataset.source == "folder" and not separation.has_groups(manifest) else None
with headline:
    if notes:
        st.markdown("\n".join(f"- {plain(line)}" for line in notes))
    if suggested and not chosen:
        st.button("Group by these names", icon=":material/workspaces:", on_click=dataset_form.group_by,
                  args=(suggested.group_by,))
if manifest.unreadable:
    with headline.expander(f":orange[Left out, with the reasons: {len(manifest.unreadable):,}]"):
        st.dataframe(pd.DataFrame([{"file": visible(item.path), "reason": visible(item.reason)}
                                   for item in manifest.unreadable]), hide_index=True)


def _image(row: int) -> None:
    try:
        pixels = _thumbnail(dataset.model_dump_json(), manifest.levels.to_json(), manifest.sample_id[row],
                            manifest.digest[row])
        st.image(pixels, width="stretch", alt=visible(manifest.sample_id[row]))
    except ChangedFile:
        st.caption(f":material/broken_image: {plain(manifest.sample_id[row], LONGEST)}: {plain(sample_images.NO_LONGER)}")
    except (OSError, ValueError) as error:
        st.caption(f":material/broken_image: {plain(error)}")


def _pair(pair: Pair) -> None:
    """Both images of a pair side by side, with their labels and files."""
    for column, sample_id in zip(st.columns(2), (pair.a, pair.b)):
        row = row_of[sample_id]
        with column:
            _image(row)
            st.caption(f"{plain(manifest.label[row], LONGEST)} · {manifest.split[row]} · "
                       f"{plain(sample_id.rpartition('/')[2], LONGEST)}", help=plain(sample_id))


def _pairs(pairs: list[Pair]) -> None:
    for start in range(0, min(len(pairs), MOST_PAIRS), 3):
        for column, pair in zip(st.columns(3), pairs[start:start + 3]):
            with column.container(border=True):
                st.markdown("same pixels" if pair.kind == "exact" else "nearly the same")
                _pair(pair)
    if len(pairs) > MOST_PAIRS:
        st.caption(f"{MOST_PAIRS} of {len(pairs):,} pairs shown.")


@st.cache_data(max_entries=500, show_spinner=False)
def _thumbnail(source: str, levels: dict[str, list[int]] | None, sample_id: str, digest: str) -> np.ndarray:
    image = sources.open_source(DatasetConfig.model_validate_json(source), from_json(levels)).image(sample_id, digest)
    return np.asarray(sample_images.thumbnail(image))


row_of = {sample_id: row for row, sample_id in enumerate(manifest.sample_id.tolist())}
if manifest.conflicts:
    with headline.expander(f":red[The same picture under two labels: {len(manifest.conflicts):,}]"):
        st.write("One of the two labels is wrong, or neither can be right alone: correct the folder and scan again.")
        _pairs(list(manifest.conflicts))
if manifest.duplicates:
    n_near = sum(pair.kind == "near" for pair in manifest.duplicates)
    apart = [pair for pair in manifest.duplicates if manifest.group[row_of[pair.a]] != manifest.group[row_of[pair.b]]]
    with headline.expander(f"{len(manifest.duplicates):,} pairs of the same picture: {len(manifest.duplicates) - n_near:,} "
                           f"pixel by pixel, {n_near:,} nearly; {len(apart):,} of them in different groups"):
        st.write("Each pair stays on one side of the split. Those in different groups first.")
        inside = set(manifest.duplicates) - set(apart)
        _pairs(sorted(manifest.duplicates, key=lambda pair: (pair in inside, pair.kind == "exact")))

st.subheader("Images per class and split")
held_out = [name for name in manifest.classes if name not in manifest.closed_classes]
shown = (*SPLITS, OPEN) if held_out else SPLITS
table = pd.DataFrame({"class": [visible(name) for name in manifest.classes],
                      **{name: list(manifest.counts(manifest.indices(name)).values()) for name in shown}})
table["all"] = table[list(shown)].sum(axis=1)
left, right = st.columns([3, 4])
left.dataframe(table, hide_index=True, height=min(420, 38 + 35 * len(table)))
with right:
    smallest = min(manifest.closed_counts(manifest.indices("train")).values())
    is_official = split_config.official and split_config.group == "whole" and (manifest.official != "").any()
    shares = " / ".join(f"{100 * share:.0f} %" for share in split_config.fractions)
    how = ("The dataset's official split" if is_official else f"Split {shares}, by class and by group"
           if split_config.group == "whole" else f":red[Split {shares}, by class, image by image]")
    n_left_out = int((manifest.split == LEFT_OUT).sum())
    where = " or ".join((["the official test split"] if is_official else []) + (["a held-out class"] if held_out else []))
    left_out = f"- {n_left_out:,} images are left out: their group or picture stands in {where}.\n" if n_left_out else ""
    names = plain(", ".join(held_out))
    open_set = (f"- **{len(held_out)} classes are held out**, {len(manifest.indices(OPEN)):,} images: {names}. "
                f"They are never trained on, and are retrieved among each other.\n" if held_out else "")
    st.markdown(f"- {how}, seed {split_config.seed}.\n{open_set}"
                f"- Shared across splits: **{proof.shared_samples:,}** images, **{proof.shared_groups:,}** groups, "
                f"**{proof.shared_pictures:,}** pictures (copies, exact or nearly).\n{left_out}"
                f"- Images per class can be up to **{smallest}**, the training images of the smallest class; subsets are "
                f"nested, and validation and test stay the same.")
    first_seed = next(iter(manifest.rank))
    if not chosen:
        counts_asked = (*(count for count in (5, 15, 50) if count < smallest), "all")
    held = []
    for count in counts_asked:
        rows = manifest.training_indices(count, first_seed)
        held.append({"images per class": str(count), "training images": len(rows),
                     "from groups": len(set(manifest.group[rows].tolist()))})
    st.dataframe(pd.DataFrame(held), hide_index=True)


st.subheader("Samples")
seed = st.session_state.setdefault("samples-seed", 0)
if st.button("Others", icon=":material/shuffle:"):
    st.session_state["samples-seed"] = seed = seed + 1
for label in manifest.classes[:MOST_CLASSES]:
    columns = st.columns([2] + [1] * PER_CLASS, vertical_alignment="center")
    columns[0].markdown(f"**{plain(label, LONGEST)}** · {manifest.counts()[label]:,}",
                        help=plain(label) if len(label) > LONGEST else None)
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(manifest.label == label))
    for column, row in zip(columns[1:], rows):
        with column:
            _image(row)
if len(manifest.classes) > MOST_CLASSES:
    st.caption(f"{MOST_CLASSES} of {len(manifest.classes)} classes shown.")

"""TRAIN. What will run, and how long will it take?"""

import math
from typing import Literal, get_args, get_origin

import streamlit as st
from pydantic.fields import FieldInfo

from core import config as configuration
from core.config import (
    BatchConfig,
    BudgetConfig,
    DatasetConfig,
    EncoderConfig,
    EvaluationConfig,
    ExperimentConfig,
    SplitConfig,
    TrainingConfig,
    bounded_yaml,
    bundled,
    encoder_names,
    experiment_file,
)
from core.config.objectives import OBJECTIVES, Objective
from core.data import census, separation, split
from core.data.manifest import OPEN, Manifest
from core.errors import InputError
from core.experiments import looks, planning, preflight, store
from core.jobs import launch
from core.quantities import duration
from pages.parts import address, dataset_form, roots, run_words, screen
from pages.parts.text import plain

screen.enter(__file__)

_BUDGET, _BATCH = BudgetConfig.model_fields, BatchConfig.model_fields
COUNTS_HELP = "Several, with commas; 'all' is every training image."
SEEDS_HELP = ("Three or more make the interval mean something. Plan enough: seeds added later make a second look, with wider "
              "intervals.")
BUDGET_HELP = "The budget, the same for every objective."
VIEWS_HELP = ("Two random views of each image in a batch, as contrastive learning often has; both are counted in the budget. "
              "With one image of a class the other view is its positive.")
FIT_HELP = ("Where images per class are fewer than a batch takes of a class, it takes as many as there are, for every "
            "objective; the images seen stay the same, in more steps.")
MARGIN_HELP = ("In points of every metric. Arms whose difference surely lies inside it are called the same; 0 says that any "
               "difference matters. It counts as set beforehand if you set it before you have seen results.")
GAP_HELP = ("If images and seeds vary as on digits, pets and fungi. More test images, groups or seeds find smaller gaps; with "
            "one seed the interval leaves out what another seed would change.")
REPEATS_HELP = ("How often the same images are split: seed s trains and is tested on split s mod this. With one split a "
                "verdict holds for that split, with more for images like these.")
WEIGHTS = ["random", "hub", "file"]
WEIGHTS_HELP = ("Bundled: ImageNet's, installed with Duet; a few encoders have them. Hub: timm's pretrained weights, "
                "downloaded once. Random: training begins from nothing.")
SHUFFLED_HELP = ("Their batches hold the training images in random order, each once a pass, so that classes come as often as "
                 "they have images; the others' hold as many images of each of their classes. All see as many images.")
BASELINES_HELP = ("Scored on the same split, so that a sentence says whether training pays. Choose one or type it: a timm "
                  "encoder's name, a weights file's path, or a Parquet file with a vector for each image.")
NORM_HELP = ("What becomes of BatchNorm's running statistics. Frozen: they stay as the weights brought them, and its weight "
             "and bias are trained; small batches would make them worse. Trained: learnt anew, as random weights need it. "
             "Encoders without such layers are the same either way.")


@st.cache_data(show_spinner=False)
def _example(is_digits: bool) -> ExperimentConfig:
    """The shipped file that the form begins as: the demo on digits, else the example for a folder."""
    return experiment_file.load(roots.PROJECT / "configs" / ("demo.yaml" if is_digits else "folder_example.yaml"))


def _objective(name: str, example: ExperimentConfig) -> dict:
    """Widgets for an objective's parameters: fields, ranges and help are the config's own; defaults are the example's, or the
    config's."""
    values: dict = {"name": name}
    shipped = next((item for item in example.objectives if item.name == name), OBJECTIVES[name]())
    fields = {field: info for field, info in OBJECTIVES[name].model_fields.items() if field not in Objective.model_fields}
    own = OBJECTIVES[name].__annotations__
    for field, info in sorted(fields.items(), key=lambda item: item[0] not in own):  # what is this loss's alone comes first
        text, shared = field.replace("_", " "), {"key": f"{name}-{field}", "help": info.description}
        choices, default = get_args(info.annotation), getattr(shipped, field)
        if get_origin(info.annotation) is Literal:
            values[field] = st.selectbox(text, choices, index=choices.index(default), **shared)
        elif info.annotation is bool:
            values[field] = st.toggle(text, default, **shared)
        else:
            is_whole = int in (info.annotation, *choices)
            kind = int if is_whole else float
            values[field] = st.number_input(
                text, *(None if limit is None else kind(limit) for limit in _range(info)), default,
                step=1 if is_whole else _step(default),
                format=None if is_whole else "%g", **shared)
    return values


def _range(info: FieldInfo) -> tuple[float | None, float | None]:
    """A field's lower and upper limit in the config, None where it has none; the config may refuse the limit itself."""
    limits = {key: getattr(limit, key) for limit in info.metadata for key in ("ge", "gt", "le", "lt") if hasattr(limit, key)}
    return limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))


def _step(default: float) -> float:
    """A tenth of the default's own size, 0.01 for 0."""
    return 10.0 ** (math.floor(math.log10(default)) - 1) if default else 0.01


def _numbers(text: str, words: tuple[str, ...] = ()) -> list:
    return [item if item in words else int(item) if item.lstrip("-").isdigit() else item
            for item in (part.strip() for part in text.split(",")) if item]


def _base() -> ExperimentConfig | None:
    """The experiment whose settings this one takes, if the address names one."""
    name = address.get("from")
    try:
        return store.find(roots.checkpoints_root(), name).config if name else None
    except (InputError, OSError) as error:
        st.error(plain(error), icon=":material/error:")
        return None


def _form_like(base: ExperimentConfig) -> dict | None:
    """What may change of an earlier experiment; the rest stays as it was there."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"Images, split, encoder, objectives and training as in **{plain(base.name)}**.")
        if st.button("Begin afresh", icon=":material/close:"):
            st.query_params.clear()
            st.rerun()
    if "curve" in st.query_params:
        scanned = dataset_form.scan(base.dataset)
        if scanned is None:
            return None
        try:
            base = planning.low_data(base, scanned)
        except InputError as error:
            st.error(f"Cannot work: {plain(error)}.", icon=":material/error:")
            return None
    name = st.text_input("Name", store.free_name(roots.checkpoints_root(), f"{base.name[:57]}-curve"), key="like-name")
    first, second, third = st.columns(3)
    counts = first.text_input("Images per class", ", ".join(map(str, base.images_per_class)), help=COUNTS_HELP)
    seeds = second.text_input("Seeds", ", ".join(map(str, base.seeds)), help=SEEDS_HELP)
    images = third.number_input("Images seen, each run", *_range(_BUDGET["images"]), base.budget.images, step=1000,
                                help=BUDGET_HELP)
    a, b = st.columns(2)
    fit = a.toggle("Let batches shrink", base.training.batch.fit, help=FIT_HELP)
    views = b.segmented_control("Views of each image", [1, 2], default=base.training.views, required=True, help=VIEWS_HELP)
    values = base.to_json()
    values["training"] |= {"batch": {**values["training"]["batch"], "fit": fit}, "views": views}
    return {**values, "name": name, "images_per_class": _numbers(counts, ("all",)), "seeds": _numbers(seeds),
            "budget": {**values["budget"], "images": images}}


def _fill_in_curve(values: dict) -> None:
    """Fills the form with a low-data curve of the dataset; says what stands against it."""
    address.press()
    try:
        config = configuration.parse({**values, "images_per_class": ["all"]})
        scanned = dataset_form.scan(config.dataset)
        curve = planning.low_data(config, scanned) if scanned is not None else None
    except (InputError, OSError) as error:
        st.session_state["curve-refused"] = str(error)
        return
    if curve is not None:
        _fill_in(curve)


def _fill_in_what_fits(config: ExperimentConfig, scanned: Manifest) -> None:
    """Once for a dataset: where its classes cannot fill the form's batches, or have fewer images than it asks for, fills in
    what they can, and draws the screen anew."""
    if st.session_state.get("fitted") == config.dataset:
        return
    st.session_state["fitted"] = config.dataset
    if (fitted := planning.fitted(config, scanned)) != config:
        _fill_in(fitted)
        st.rerun()


def _fill_in(config: ExperimentConfig) -> None:
    """Makes what `_filled` gives for this dataset the config's."""
    batch, number = config.training.batch, st.session_state.get("filled", {}).get("number", 0)
    st.session_state["filled"] = {
        "number": number + 1, "dataset": config.dataset, "views": config.training.views, "fit": batch.fit,
        "counts": ", ".join(map(str, config.images_per_class)), "classes": batch.classes, "samples": batch.samples}


def _filled(dataset: DatasetConfig | None, example: ExperimentConfig) -> dict:
    """What the fields begin with that a dataset or a low-data curve fills in: its values where some were for this dataset.

    A field's key carries the number, so each filling makes it anew with its value as the default. A value put into a
    field's state instead is lost to a page that is interrupted before it draws the field.
    """
    filled = st.session_state.get("filled", {"number": 0, "dataset": ""})
    batch, views = example.training.batch, example.training.views
    own = {"counts": ", ".join(map(str, example.images_per_class)), "classes": batch.classes, "samples": batch.samples,
           "views": views, "fit": batch.fit}
    return filled if filled["dataset"] == dataset else {**own, "number": filled["number"]}


def _decimals(text: str) -> list:
    """Numbers with commas between them; what is none stays text, for the config to refuse."""
    numbers: list = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        try:
            numbers.append(float(part))
        except ValueError:
            numbers.append(part)
    return numbers


def _classes(text: str) -> int | list[str]:
    """How many classes, or their names with commas between them; 0 for none."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    return int(names[0]) if len(names) == 1 and names[0].isdecimal() else names or 0


def _form() -> dict | None:
    name = st.text_input("Name", store.free_name(roots.checkpoints_root(), "experiment"), key="train-name")
    dataset = dataset_form.pick_dataset()
    is_digits = dataset is None or dataset.source == "digits"
    example = _example(is_digits)
    filled = _filled(dataset, example)
    number = filled["number"]
    chosen = st.multiselect("Objectives", list(OBJECTIVES), default=[item.name for item in example.objectives],
                            format_func=lambda item: OBJECTIVES[item].title, key=f"objectives-{is_digits}",
                            help="The first is A, the second B. The untrained encoder is always scored too.")
    baselines = st.multiselect("Frozen encoders to measure training against", bundled.installed(), key="train-baselines",
                               accept_new_options=True, placeholder="the untrained encoder alone", help=BASELINES_HELP)
    first, second, third = st.columns(3)
    counts = first.text_input("Images per class", filled["counts"], key=f"counts-{number}", help=COUNTS_HELP)
    seeds = second.text_input("Seeds", ", ".join(map(str, example.seeds)), help=SEEDS_HELP)
    images = third.number_input("Images seen, each run", *_range(_BUDGET["images"]), example.budget.images,
                                step=1000, help=BUDGET_HELP, key=f"budget-{is_digits}")
    curve = st.container(horizontal=True, vertical_alignment="center")
    names = sorted(encoder_names.names())
    fourth, fifth, sixth = st.columns(3)
    encoder = fourth.selectbox("Encoder (timm)", names, index=names.index(example.encoder.name), key=f"encoder-{is_digits}")
    choices = ["bundled", *WEIGHTS] if encoder in bundled.installed() else WEIGHTS
    weights = fifth.selectbox("Weights", choices, key=f"weights-{'-'.join(choices)}", help=WEIGHTS_HELP)
    size = sixth.number_input("Image size", *_range(EncoderConfig.model_fields["image_size"]), example.encoder.image_size,
                              key=f"size-{is_digits}")
    if weights == "file":
        weights = st.text_input("Weights file", placeholder="/path/to/weights.safetensors")
    with st.expander("Objectives' parameters"):
        objectives = []
        for item in chosen:
            st.markdown(f"**{OBJECTIVES[item].title}**  :small[:gray[{OBJECTIVES[item].paper}]]")
            with st.container(horizontal=True):
                objectives.append(_objective(item, example))
    with st.expander("Advanced"):
        a, b, c = st.columns(3)
        classes = a.number_input("Classes per batch", *_range(_BATCH["classes"]), filled["classes"],
                                 key=f"classes-{is_digits}-{number}")
        samples = b.number_input("Samples per class in a batch", *_range(_BATCH["samples"]), filled["samples"],
                                 key=f"samples-{is_digits}-{number}")
        epochs = c.number_input("Epochs", *_range(_BUDGET["epochs"]), example.budget.epochs, key=f"epochs-{is_digits}",
                                help="Parts of the budget; each ends with validation and a frame.")
        d, e, f = st.columns(3)
        lr = d.number_input("Learning rate", value=example.training.lr, format="%g", key=f"lr-{is_digits}")
        flip = e.toggle("Flip left and right", example.training.augmentation.flip, key=f"flip-{is_digits}")
        layout = f.selectbox("Stored layout", ["pca", "umap", "tsne"])
        g, h, i, repeats_column = st.columns([4, 4, 2, 2])
        mean = g.text_input("Mean", "", placeholder="the encoder's own", help="Three numbers, for pixels in 0..1.")
        std = h.text_input("Std", "", placeholder="the encoder's own")
        split_seed = i.number_input("Split seed", 0, None, 0)
        repeats = repeats_column.number_input("Splits", *_range(SplitConfig.model_fields["repeats"]), example.split.repeats,
                                              key="repeats", help=REPEATS_HELP)
        j, k, m = st.columns(3)
        views = j.segmented_control("Views of each image", [1, 2], default=filled["views"], key=f"views-{number}",
                                    required=True, help=VIEWS_HELP)
        micro_batch = k.number_input("Images at a time", *_range(TrainingConfig.model_fields["micro_batch"]), None,
                                     placeholder="the whole batch",
                                     help="A matter of memory alone: the loss always sees the whole batch.")
        tensorboard = m.toggle("TensorBoard files", False)
        n, o, p = st.columns(3)
        fit = n.toggle("Let batches shrink", filled["fit"], key=f"fit-{number}", help=FIT_HELP)
        tried = o.text_input("Try learning rates", "", placeholder="0.0003, 0.001, 0.003", help="Each run tries each of these "
                             "first and trains with the one that is best on validation: as many trials for every objective.")
        share = p.number_input("Budget of a trial, percent", 1, 100, 25, disabled=not tried.strip(),
                               help="Of the images a run sees, on top of them.")
        q, r = st.columns([2, 1])
        margin = r.number_input("Least difference that matters", *_range(EvaluationConfig.model_fields["margin"]),
                                example.evaluation.margin, step=0.5, format="%g", key="margin", help=MARGIN_HELP)
        norm = q.selectbox("Normalisation statistics", [None, "frozen", "trained"], format_func=lambda item: item or
                            ("trained (random weights)" if weights == "random" else "frozen (weights not random)"),
                            key="train-norm", help=NORM_HELP)
        shuffled = st.multiselect("Shuffled batches", chosen, format_func=lambda item: OBJECTIVES[item].title, key="shuffled",
                                  placeholder="none: all balanced", help=SHUFFLED_HELP)
        official = st.toggle("Keep the dataset's own split", True, key="keep-official",
                             help="Where it has one; else a split is drawn.")
        options = st.text_input("Encoder options", "", placeholder="pad_type=same, bn_eps=0.001",
                                help="Keyword arguments for timm.create_model.")
        held_out = st.text_input("Held-out classes", "", placeholder="3, or their names with commas", key="train-held-out",
                                 help="Never trained on; how well their images find one another has a verdict of its own. A "
                                      "number lets the split's seed draw as many.")
    if dataset is None:
        return None
    shipped = example.to_json()
    values = {"name": name, "dataset": dataset.model_dump(),
            "split": {"seed": split_seed, "official": official, "held_out_classes": _classes(held_out), "repeats": repeats},
            "encoder": {"name": encoder, "weights": weights, "image_size": size,
                        "options": _options(options),
                        **{key: _decimals(text) for key, text in (("mean", mean), ("std", std)) if text.strip()}},
            "objectives": [{**item, "order": "shuffled"} if item["name"] in shuffled else item for item in objectives],
            "baselines": baselines, "images_per_class": _numbers(counts, ("all",)), "seeds": _numbers(seeds),
            "budget": {"images": images, "epochs": epochs},
            "training": {"batch": {"classes": classes, "samples": samples, "fit": fit}, "lr": lr,
                         "augmentation": {**shipped["training"]["augmentation"], "flip": flip}, "views": views,
                         "micro_batch": micro_batch, "norm": norm, "tensorboard": tensorboard},
            "evaluation": {**shipped["evaluation"], "projection": layout, "margin": margin},
            "tuning": {"learning_rates": _decimals(tried), "share": share / 100} if tried.strip() else None}
    curve.button("Low-data curve", icon=":material/show_chart:", on_click=_fill_in_curve, args=(values,),
                 help="Fills in the images per class, from one to all, that the dataset can carry, and what they need.")
    if refused := st.session_state.pop("curve-refused", ""):
        curve.caption(f":red[{plain(refused)}.]")
    return values


def _options(text: str) -> dict[str, object]:
    """Encoder options as `key=value`, with commas between them; the page ends with the reason where they are none."""
    try:
        return {key.strip(): bounded_yaml.value(value) for key, _, value in
                (item.partition("=") for item in text.split(",") if item.strip())}
    except InputError as error:
        st.error(f"Encoder options must be key=value with commas between them: {plain(error)}", icon=":material/error:")
        st.stop()


def _show_plan(checked: planning.Plan) -> None:
    config, ahead = checked.config, preflight.look_ahead(checked, roots.checkpoints_root())
    letters = [f"{letter} **{plain(arm)}**" for letter, arm in zip("AB", config.arms)]
    st.markdown(" · ".join(letters))
    n_scored = len(config.runs()) - checked.n_trained
    st.markdown(f"**{checked.n_trained} runs** · {ahead.images:,} images each, in {ahead.steps:,} steps; {n_scored} more "
                "without training")
    views = " × 2 views" if config.training.views > 1 else ""
    if not ahead.is_all_shuffled:
        st.markdown(f"Batch **{ahead.images_per_step}** = {ahead.batch.classes} classes × {ahead.batch.samples}{views}: "
                    f"{ahead.positives} positives and {ahead.negatives} negatives an anchor; up to {ahead.most_classes} × "
                    f"{ahead.most_samples} would fit.")
    if ahead.shuffled:
        st.markdown(f"{plain(ahead.shuffled_sentence)}.")
    if ahead.smaller:
        parts = [f"{item.images_per_class} per class: {item.classes} × {item.samples}, {item.steps:,} steps"
                 for item in ahead.smaller]
        st.markdown(f"Where images are few the batch is smaller, the same for every objective: {'; '.join(parts)}.")
    if config.tuning:
        st.markdown(f"Each run first tries **{len(config.tuning.learning_rates)} learning rates**, "
                    f"{ahead.trial_images:,} images more, and takes the best on validation.")
    if config.encoder.weights != "random" or config.training.norm == "frozen":
        st.markdown("Statistics of normalisation layers (BatchNorm) stay **as the weights bring them**; all else is trained."
                    if config.training.norm == "frozen" else
                    "Statistics of normalisation layers (BatchNorm) are **learnt anew** from the batches.")
    st.caption("The encoder before training counts as epoch 0: unless an epoch is better on validation, a run exports it.")
    if ahead.asks_training:
        st.caption(f":orange[Validation {split.ASKS_TRAINING}.]")
    if ahead.seconds:
        memory = f" and {ahead.memory / 1e9:.1f} GB of memory" if ahead.memory else ""
        st.markdown(f"About **{duration(ahead.seconds)}** on this machine{memory}, by {plain(ahead.measured_on)}, "
                    f"which had this encoder.")
    else:
        st.markdown("How long it takes shows after the first epoch: this encoder has not run here yet.")
    few, many = (f"{value:.1f}" if value < 10 else f"{value:.0f}" for value in ahead.passes)
    st.caption(f"Each training image is seen {few if few == many else f'{few} to {many}'} times.")
    sizes = {name: len(checked.manifest.indices(name)) for name in ("train", "validation", "test")}
    n_held_out = len(checked.manifest.classes) - len(checked.manifest.closed_classes)
    held_out = f", {len(checked.manifest.indices(OPEN)):,} of {n_held_out} held-out classes" if n_held_out else ""
    st.caption(f"{len(checked.manifest):,} images, {len(checked.manifest.classes)} classes: {sizes['train']:,} train, "
               f"{sizes['validation']:,} validation, {sizes['test']:,} test{held_out}.")
    st.caption(f"{plain(ahead.gap_sentence)}.", help=GAP_HELP if ahead.n_splits == 1 else None)
    look = looks.of_plan(config, checked.manifest.fingerprint, store.experiments(roots.checkpoints_root()))
    if look.note:
        st.caption(f":orange[{plain(look.note)}.]")
    known = separation.sentence(checked.manifest)
    st.caption(plain(f"{known[0].upper()}{known[1:]}. {separation.advice(checked.manifest)}"))
    for line in census.summary(checked.manifest):
        st.caption(plain(line))
    if checked.manifest.unreadable:
        st.caption(f":orange[Left out: {len(checked.manifest.unreadable):,}; the Data screen names them.]")
    run_words.leak_note(config.runs())
    if config.baselines:
        named = ", ".join(baseline.arm for baseline in config.baselines)
        st.markdown(f"Training is measured against the untrained encoder and **{plain(named)}**.")
    if len(config.objectives) < 2:
        st.warning("A single objective is compared only with encoders that are not trained; choose two or more to compare "
                   "losses.", icon=":material/warning:")
    if len(config.seeds) < 3:
        st.caption("With fewer than three seeds, luck of the draw is hard to tell from a difference.")


headline = st.container()
base = _base()
form, plan = st.columns([3, 2], gap="large")
with form:
    values = _form_like(base) if base else _form()
with plan:
    st.subheader("The plan")
    checked = None
    if values is None:
        st.caption("Choose a dataset; what will run stands here.")
    else:
        try:
            config = configuration.parse(values)
            scanned = dataset_form.scan(config.dataset)
            if base is None and scanned is not None:
                _fill_in_what_fits(config, scanned)
            checked = planning.plan(config, scanned=scanned) if scanned is not None else None
        except (InputError, OSError) as error:
            st.error(f"Cannot work: {plain(error)}.", icon=":material/error:")
    if checked is not None:
        _show_plan(checked)
        if st.button("Start", type="primary", icon=":material/play_arrow:", width="stretch"):
            try:
                with st.spinner("Checking the encoder …"):
                    experiment = launch.start(checked, roots.checkpoints_root(), roots.data_root())
            except (InputError, OSError) as error:
                st.error(plain(error), icon=":material/error:")
            else:
                st.switch_page("pages/watch.py", query_params={"experiment": experiment.name})
        with st.expander("As a file (YAML)"):
            st.code(checked.config.to_yaml(), language="yaml")
headline.header("Ready to start." if checked is not None else "What will run?")

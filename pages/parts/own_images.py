"""Your own images in trained spaces: where they land, as stars in the plots above, and who is nearest in each."""

from collections.abc import Sequence

import numpy as np
import streamlit as st

from core.analysis import neighbors, projection
from core.analysis.table import EmbeddingTable
from core.data import decoding, memory
from core.errors import InputError
from core.experiments.handles import Experiment, Run
from core.inference import query
from core.jobs.layout import Settings
from core.wording import failure
from pages.parts import file_stamp, image_strips, layouts, roots, scatter, space_tables
from pages.parts.text import LONGEST, plain

MOST = 8  # images at a time
NEAREST = 8  # neighbours shown
_VOTERS = 5


def draw(experiment: Experiment, runs: tuple[Run, ...], names: tuple[str, ...], split: str = "test") -> None:
    """Takes images, embeds them by each run's encoder, and shows their places and neighbours.

    Args:
        experiment: which one.
        runs: one or two.
        names: what they are called.
        split: the images that are laid out.
    """
    st.subheader("Query", help="Your image is cropped and scaled as the dataset's were, and embedded by each encoder in a "
                 "process of its own on this machine. It is not kept.")
    if any(run.config.table is not None for run in runs):
        st.caption("A table of vectors has no encoder for your own images: choose arms that have one.")
        return
    files = st.file_uploader("Images", accept_multiple_files=True, key=_key(experiment), label_visibility="collapsed")
    if not files:
        st.caption(f"Up to {MOST} images at a time. The first answer takes some seconds, as the encoders are loaded; the next "
                   "come at once.")
        return
    if len(files) > MOST:
        st.caption(f"The first {MOST} of {len(files)} images are shown.")
    readable = [(file.name, file.getvalue()) for file in files[:MOST] if _is_readable(file.name, file.getvalue())]
    if not readable:
        return
    images = [content for _, content in readable]
    asked = tuple(name for name, _ in readable), query.fingerprint(images)
    is_drawn = asked == _asked(experiment) and _question(runs, asked[1]) in st.session_state.get("query-answers", {})
    found = _vectors(runs, images)
    if found is None:
        return
    if not is_drawn:
        st.session_state.setdefault("query-read", {})[_brought(experiment)] = asked
        st.rerun()  # with stars in the plots above
    spaces = [space_tables.table(run.embeddings_file) for run in runs]
    letters = [f"{place} · {name}" for place, name in zip("AB", names)] if len(runs) > 1 else list(names)
    _say_places(runs, split)
    nearest = [neighbors.nearest(vectors, space.embedding, NEAREST, names=space.sample_id)
               for vectors, space in zip(found, spaces)]
    for number, (name, content) in enumerate(readable):
        columns = st.columns([2, *[10 // len(runs)] * len(runs)])
        with columns[0]:
            caption = f"★ {scatter.mark(number)} · {plain(name, LONGEST)}"
            st.image(image_strips.square(decoding.decode(content)), caption=caption, width=image_strips.SIDE)
        for column, letter, space, (rows, cosines) in zip(columns[1:], letters, spaces, nearest):
            with column:
                _answer(experiment, letter, space, rows[number], cosines[number])


def _answer(experiment: Experiment, letter: str, space: EmbeddingTable, rows: np.ndarray, cosines: np.ndarray) -> None:
    called, share = neighbors.vote(space.label_id[rows[:_VOTERS]][None], len(space.classes))
    st.markdown(f"**{plain(letter)}**: {plain(space.classes[called[0]], LONGEST)}, as "
                f"{round(share[0] * min(_VOTERS, len(rows)))} of the "
                f"{min(_VOTERS, len(rows))} nearest say; cosine {cosines[0]:.2f} to the nearest")
    image_strips.strip(experiment, space.sample_id[rows].tolist(), space.label[rows].tolist(), width=50)


def stars(experiment: Experiment, runs: list[Run], spaces: list[EmbeddingTable], points: list[np.ndarray], settings: Settings,
          split: str) -> scatter.Stars | None:
    """Where the images that are asked about lie in some layouts; None where none is, or before their vectors are known.

    Args:
        experiment: which one.
        runs: of it.
        spaces: their samples that are laid out.
        points: the layouts, each of shape (n, 2).
        settings: what the layouts were made with.
        split: the images that are laid out.
    """
    names, images = _asked(experiment)
    vectors = st.session_state.get("query-answers", {}).get(_question(runs, images))
    if vectors is None:
        return None
    stamps = tuple(file_stamp.stamp(run.embeddings_file) for run in runs)
    places, near = _landed(stamps, split, settings, images, vectors, spaces, points)
    return scatter.Stars(places, names, near, f"your image; lines lead to the {near[0].shape[1]} nearest of those drawn")


@st.cache_resource(max_entries=8, show_spinner=False)
def _landed(stamps: tuple, split: str, settings: Settings, images: str, _vectors: list[np.ndarray],
            _spaces: list[EmbeddingTable], _points: list[np.ndarray]) -> tuple[tuple[np.ndarray, ...], ...]:
    """Places of some images and rows of those nearest to each, one a space."""
    drawn = list(zip(_vectors, _spaces, _points))
    return (tuple(projection.land(vectors, space.embedding, layout, settings.method) for vectors, space, layout in drawn),
            tuple(neighbors.nearest(vectors, space.embedding, _VOTERS)[0] for vectors, space, _ in drawn))


def _asked(experiment: Experiment) -> tuple[tuple[str, ...], str]:
    """Names and fingerprint of the readable images among those brought, once they were looked at."""
    return st.session_state.get("query-read", {}).get(_brought(experiment), ((), ""))


def _brought(experiment: Experiment) -> tuple[str, ...]:
    """What this session calls the images in the field."""
    return tuple(file.file_id for file in st.session_state.get(_key(experiment)) or ())


def _key(experiment: Experiment) -> str:
    return f"query-{experiment.name}"


def _question(runs: Sequence[Run], images: str) -> tuple[tuple[str, ...], str]:
    return tuple(str(run.folder) for run in runs), images


def _is_readable(name: str, content: bytes) -> bool:
    try:
        decoding.decode(content)
    except memory.LockError as error:
        st.error(plain(failure(error)), icon=":material/error:")
        return False
    except decoding.UNREADABLE as error:
        st.error(f"{plain(name, LONGEST)} must be an image file, got one that cannot be read: {plain(decoding.reason(error))}",
                 icon=":material/broken_image:")
        return False
    return True


def _vectors(runs: tuple[Run, ...], images: list[bytes]) -> list[np.ndarray] | None:
    """Vectors of each run, asked for once a session and question; None with the reason shown if that fails."""
    key = _question(runs, query.fingerprint(images))
    answers = st.session_state.setdefault("query-answers", {})
    if key not in answers:
        slot = st.empty()

        def wait(seconds: float, is_starting: bool) -> None:  # a call of Streamlit's: leaving the page ends the wait
            slot.caption(f":material/hourglass_top: {'Loading the encoders' if is_starting else 'Embedding'} … "
                         f"{seconds:.0f} s")

        try:
            answers[key] = query.embed(list(runs), images, roots.checkpoints_root() / ".query", wait)
        except (InputError, RuntimeError, OSError) as error:
            slot.error(plain(error), icon=":material/error:")
            return None
        slot.empty()
    return answers[key]


def _say_places(runs: tuple[Run, ...], split: str) -> None:
    settings = layouts.chosen()
    if layouts.ready([run.embeddings_file for run in runs], split, settings) is None:
        st.caption("Where they land will be here once the layout is computed.")
        return
    st.caption("Stars in the plot above: where your images land. " + (
        "PCA places them exactly." if settings.method == "pca" else
        f"{layouts.NAMES[settings.method]} cannot place a new image: each star is the mean place of its 5 nearest in full "
        "dimension."))

"""Your own images in trained spaces: where they land, and who is nearest in each."""


import numpy as np
import streamlit as st

from core.analysis import neighbors, projection
from core.analysis.table import EmbeddingTable
from core.data import decoding, memory
from core.errors import InputError
from core.experiments.store import Experiment, Run
from core.inference import query
from core.report import figures
from core.wording import failure
from pages.parts import image_strips, layouts, roots, space_tables
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
    files = st.file_uploader("Images", accept_multiple_files=True, key=f"query-{experiment.name}",
                             label_visibility="collapsed")
    if not files:
        st.caption(f"Up to {MOST} images at a time. The first answer takes some seconds, as the encoders are loaded; the next "
                   "come at once.")
        return
    if len(files) > MOST:
        st.caption(f"The first {MOST} of {len(files)} images are shown.")
    readable = [(file.name, file.getvalue()) for file in files[:MOST] if _is_readable(file.name, file.getvalue())]
    if not readable:
        return
    found = _vectors(runs, [content for _, content in readable])
    if found is None:
        return
    spaces = [space_tables.table(run.embeddings_file) for run in runs]
    letters = [f"{place} · {name}" for place, name in zip("AB", names)] if len(runs) > 1 else list(names)
    _places(runs, split, found, letters, [name for name, _ in readable])
    nearest = [neighbors.nearest(vectors, space.embedding, NEAREST, names=space.sample_id)
               for vectors, space in zip(found, spaces)]
    for number, (name, content) in enumerate(readable):
        columns = st.columns([2, *[10 // len(runs)] * len(runs)])
        with columns[0]:
            caption = f"{number + 1} · {plain(name, LONGEST)}"
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
    key = (tuple(str(run.folder) for run in runs), query.fingerprint(images))
    kept = st.session_state.setdefault("query-answers", {})
    if key not in kept:
        place = st.empty()

        def wait(seconds: float, is_starting: bool) -> None:  # a call of Streamlit's: leaving the page ends the wait
            place.caption(f":material/hourglass_top: {'Loading the encoders' if is_starting else 'Embedding'} … "
                          f"{seconds:.0f} s")

        try:
            kept[key] = query.embed(list(runs), images, roots.checkpoints_root() / ".query", wait)
        except (InputError, RuntimeError, OSError) as error:
            place.error(plain(error), icon=":material/error:")
            return None
        place.empty()
    return kept[key]


def _places(runs: tuple[Run, ...], split: str, found: list[np.ndarray], letters: list[str], names: list[str]) -> None:
    settings = layouts.chosen()
    laid_out = layouts.ready([run.embeddings_file for run in runs], split, settings)
    if laid_out is None:
        st.caption("Where they land will be here once the layout is computed.")
        return
    drawn = space_tables.shared([run.embeddings_file for run in runs], split)
    extent = np.concatenate(laid_out.points)
    for number, column in enumerate(st.columns(len(runs))):
        space, points = drawn[number], laid_out.points[number]
        places = projection.land(found[number], space.embedding, points, settings.method)
        figure = figures.space(points, space.label_id, space.classes, space.sample_id, height=330,
                               extent=np.concatenate([extent, places]))
        with column, st.container(border=True):
            st.markdown(f"**{plain(letters[number])}**")
            st.plotly_chart(figures.with_landed(figure, places, names), key=f"landed-{number}",
                            config={"displayModeBar": False})
    st.caption("Stars: where your images land. " + (
        "PCA places them exactly." if settings.method == "pca" else
        f"{layouts.NAMES[settings.method]} cannot place a new image: each star is the mean place of its 5 nearest in full "
        "dimension."))

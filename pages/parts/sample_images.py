"""Images of an experiment's samples: shrunk, as data URLs, in a grid."""

import base64
import io
from pathlib import Path

import streamlit as st
from PIL import Image

from core.data import sources
from core.data.manifest import read_levels
from core.errors import ChangedFile
from core.experiments.handles import Experiment
from core.visible import visible
from pages.parts import file_stamp
from pages.parts.text import LONGEST, plain

THUMBNAIL = 96  # pixels
SMALL = 6000  # bytes of a PNG that is sent as it is
NO_LONGER = "this file is no longer the sample: it was changed since the scan"


def image(experiment: Experiment, sample_id: str) -> Image.Image:
    """A sample's image, no smaller than a thumbnail.

    Raises:
        OSError: if its file has gone, or is no longer the sample.
    """
    try:
        digest = _digests(*file_stamp.stamp(experiment.manifest_file))[sample_id]
        return thumbnail(_source(*file_stamp.stamp(experiment.description_file)).image(sample_id, digest))
    except ChangedFile:
        raise OSError(NO_LONGER) from None
    except KeyError:
        raise OSError("the experiment has no such sample") from None
    except ValueError as error:
        raise OSError(str(error)) from None


@st.cache_resource(max_entries=4, show_spinner=False)
def _source(description: str, modified: int, size: int) -> sources.Source:
    experiment = Experiment(Path(description).parent)
    return sources.open_source(experiment.config.dataset, read_levels(experiment.manifest_file))


@st.cache_resource(max_entries=4, show_spinner=False)
def _digests(manifest: str, modified: int, size: int) -> dict[str, str]:
    samples = Experiment(Path(manifest).parent).manifest()
    return dict(zip(samples.sample_id.tolist(), samples.digest.tolist()))


def thumbnail(image: Image.Image) -> Image.Image:
    """An image for a grid: shrunk if large, enlarged without smoothing if tiny."""
    if min(image.size) < THUMBNAIL:
        scale = THUMBNAIL / min(image.size)
        return image.resize((round(image.width * scale), round(image.height * scale)), 0)  # 0: nearest
    image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
    return image


def data_url(experiment: Experiment, sample_id: str) -> str:
    """A sample's thumbnail as a data URL: without loss where that is small, as of a few large pixels, else as JPEG.

    Raises:
        OSError: if its file has gone, or is no longer the sample.
    """
    return _data_url(*file_stamp.stamp(experiment.description_file), sample_id)


@st.cache_data(max_entries=5000, show_spinner=False)
def _data_url(description: str, modified: int, size: int, sample_id: str) -> str:
    small = image(Experiment(Path(description).parent), sample_id).convert("RGB")
    content = io.BytesIO()
    kind = "png"
    small.save(content, "PNG")
    if content.tell() >= SMALL:
        content, kind = io.BytesIO(), "jpeg"
        small.save(content, "JPEG", quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"


def gallery(experiment: Experiment, sample_ids: list[str], captions: list[str], columns: int, most: int) -> None:
    """A grid of images; says how many of how many it shows."""
    shown = list(zip(sample_ids, captions))[:most]
    for start in range(0, len(shown), columns):
        for column, (sample_id, caption) in zip(st.columns(columns, gap="small"), shown[start:start + columns]):
            with column:
                try:
                    st.image(image(experiment, sample_id), width="stretch", alt=visible(caption))
                except OSError as error:
                    st.caption(f":material/broken_image: {plain(sample_id, LONGEST)}: {plain(error)}", help=plain(sample_id))
                st.caption(plain(caption, LONGEST), help=plain(caption) if len(caption) > LONGEST else None)
    if len(sample_ids) > most:
        st.caption(f"{most} of {len(sample_ids):,} shown.")

"""Rows of small square images, each marked right or wrong by frame and sign."""


import streamlit as st
from PIL import Image, ImageOps

from core.experiments.handles import Experiment
from pages.parts import sample_images
from pages.parts.text import plain

SIDE = 72  # pixels
_FRAME = 4
_CAPTION = 14  # letters below an image
RIGHT, WRONG, PLAIN = "#009E73", "#D55E00", "#8b949e"  # Okabe & Ito's green and vermilion, told apart by everyone


def strip(experiment: Experiment, sample_ids: list[str], labels: list[str], wanted: str | None = None,
          width: int = SIDE) -> None:
    """A row of samples' images with their labels.

    Args:
        experiment: which one.
        sample_ids: who, in order.
        labels: their labels.
        wanted: the label that is right; None marks none.
        width: pixels of each.
    """
    images, captions = [], []
    for sample_id, label in zip(sample_ids, labels):
        color = PLAIN if wanted is None else RIGHT if label == wanted else WRONG
        sign = "" if wanted is None else "✓ " if label == wanted else "✗ "
        images.append(framed(experiment, sample_id, color))
        captions.append(sign + plain(label, _CAPTION))
    if images:
        st.image(images, caption=captions, width=width)


def framed(experiment: Experiment, sample_id: str, color: str = PLAIN) -> Image.Image:
    """A sample's image, square and framed; grey where its file has gone or is no longer the sample."""
    try:
        return square(sample_images.image(experiment, sample_id), color)
    except OSError:
        return ImageOps.expand(Image.new("RGB", (SIDE, SIDE), "#d0d0d0"), _FRAME, color)


def square(image: Image.Image, color: str = PLAIN) -> Image.Image:
    """The middle of an image, square and framed."""
    return ImageOps.expand(ImageOps.fit(image.convert("RGB"), (SIDE, SIDE), Image.Resampling.NEAREST), _FRAME, color)

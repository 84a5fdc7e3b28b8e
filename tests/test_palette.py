"""Colours: valid, apart from each other, the same for the same class, and what OKLCH says they are."""

import re

import numpy as np
import pytest

from core.report import palette


def rgb(color):
    assert re.fullmatch("#[0-9a-fA-F]{6}", color)
    return np.array([int(color[place:place + 2], 16) for place in (1, 3, 5)])


def oklab(color):
    """sRGB to OKLab by the published matrices (Ottosson, 2020, https://bottosson.github.io/posts/oklab/)."""
    level = rgb(color) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    cones = np.array([[0.4122214708, 0.5363325363, 0.0514459929],
                      [0.2119034982, 0.6806995451, 0.1073969566],
                      [0.0883024619, 0.2817188376, 0.6299787005]]) @ linear
    return np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                     [1.9779984951, -2.4285922050, 0.4505937099],
                     [0.0259040371, 0.7827717662, -0.8086757660]]) @ np.cbrt(cones)


def test_the_first_two_arms_are_blue_and_orange():
    assert palette.arms(2) == [palette.ARM_A, palette.ARM_B]
    red, _, blue = rgb(palette.ARM_A)
    assert blue > 2 * red
    red, green, blue = rgb(palette.ARM_B)
    assert red > green > blue


@pytest.mark.parametrize("n", [0, 1, 2, 5, 6, 7, 20])
def test_there_is_a_colour_for_every_arm(n):
    colors = palette.arms(n)
    assert len(colors) == n
    assert colors == palette.arms(40)[:n]
    for color in colors:
        rgb(color)


def test_arms_differ_from_each_other_and_from_the_untrained():
    assert len({*palette.arms(6), palette.UNTRAINED}) == 7


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 10, 37, 100])
def test_every_class_has_a_colour_of_its_own_and_keeps_it(n):
    colors = palette.classes(n)
    assert len(colors) == n
    assert len({tuple(rgb(color)) for color in colors}) == n
    assert palette.classes(n) == colors


def test_few_classes_use_okabe_and_ito():
    assert palette.classes(3) == ["#E69F00", "#56B4E9", "#009E73"]
    assert palette.classes(7)[:6] == palette.classes(6)


def test_many_classes_go_through_three_lightnesses_in_turn():
    lightness = np.array([oklab(color)[0] for color in palette.classes(60)])
    wanted = np.tile([0.62, 0.78, 0.48], 20)
    assert np.abs(lightness - wanted).max() < 0.08  # colours outside sRGB are clipped
    assert np.median(np.abs(lightness - wanted)) < 0.01


def test_the_first_hue_of_many_classes_is_thirty_degrees():
    lightness, a, b = oklab(palette.classes(8)[0])
    assert np.hypot(a, b) == pytest.approx(0.15, abs=0.005)
    assert np.degrees(np.arctan2(b, a)) == pytest.approx(30, abs=2)
    assert lightness == pytest.approx(0.62, abs=0.005)


@pytest.mark.parametrize("n", [2, 5, 7, 8, 12, 37])
def test_neighbouring_classes_are_told_apart(n):
    places = np.array([oklab(color) for color in palette.classes(n)])
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).min() > 0.1  # about five times what the eye can tell

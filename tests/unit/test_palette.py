"""Colours: valid, apart from each other, the same for the same class, and what OKLCH says they are."""

import re

import numpy as np
import pytest

from core.report import palette


def rgb(color):
    assert re.fullmatch("#[0-9a-fA-F]{6}", color)
    return np.array([int(color[place:place + 2], 16) for place in (1, 3, 5)])


def oklab(color, eyes=None):
    """sRGB to OKLab, as eyes without some cones see it, by the published matrices (Ottosson, 2020, https://bottosson.github.io/posts/oklab/)."""
    level = rgb(color) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    linear = linear if eyes is None else np.clip(eyes @ linear, 0, 1)
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


def test_a_class_keeps_its_colour_however_many_there_are():
    assert palette.classes(3) == ["#E69F00", "#56B4E9", "#009E73"]  # Okabe & Ito's
    assert palette.classes(60)[:37] == palette.classes(37)


# Deuteranopia in linear sRGB (Machado, Oliveira & Fernandes, 2009, doi:10.1109/TVCG.2009.113, severity 1.0)
DEUTERANOPIA = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]])
JUST_TOLD_APART = 0.02  # in OKLab, for patches side by side


def least_distance(colors, eyes=None):
    places = np.array([oklab(color, eyes) for color in colors])
    distances = np.linalg.norm(places[:, None] - places[None], axis=2)
    return distances[np.triu_indices(len(colors), 1)].min()


@pytest.mark.parametrize("n", [2, 5, 7, 8, 12, 37])
def test_every_two_classes_are_told_apart(n):
    assert least_distance(palette.classes(n)) > 4 * JUST_TOLD_APART


@pytest.mark.parametrize("n", [2, 5, 7, 8, 12, 37])
def test_every_two_classes_are_told_apart_by_eyes_without_green_cones(n):
    assert least_distance(palette.classes(n), DEUTERANOPIA) > 2.5 * JUST_TOLD_APART


def test_red_and_green_of_one_lightness_are_one_colour_to_such_eyes():  # else the test above says nothing
    assert least_distance(["#C86400", "#7D7D00"]) > 4 * JUST_TOLD_APART
    assert least_distance(["#C86400", "#7D7D00"], DEUTERANOPIA) < 2.5 * JUST_TOLD_APART


def test_many_classes_go_through_three_lightnesses_in_turn():
    lightness = np.array([oklab(color)[0] for color in palette.classes(108)[48:]])
    wanted = np.tile([0.62, 0.78, 0.48], 20)
    assert np.abs(lightness - wanted).max() < 0.08  # colours outside sRGB are clipped
    assert np.median(np.abs(lightness - wanted)) < 0.01


def test_the_first_hue_of_the_wheel_is_thirty_degrees():
    lightness, a, b = oklab(palette.classes(49)[48])
    assert np.hypot(a, b) == pytest.approx(0.15, abs=0.005)
    assert np.degrees(np.arctan2(b, a)) == pytest.approx(30, abs=2)
    assert lightness == pytest.approx(0.62, abs=0.005)


def test_a_ramp_goes_from_dark_to_light_to_any_eyes():
    for eyes in (None, DEUTERANOPIA):
        lightness = [oklab(color, eyes)[0] for color in palette.ramp(16)]
        assert lightness == sorted(lightness)
    assert palette.ramp(3) == ["#00326f", "#7c7b78", "#fee838"]
    assert len(palette.ramp(256)) == 256 and palette.ramp(1) == ["#00326f"]

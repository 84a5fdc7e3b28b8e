"""Colours that mean one thing everywhere: arms have theirs, classes have others, and each class keeps its own."""

import math

ARM_A = "#1f6feb"
ARM_B = "#f57c00"
UNTRAINED = "#8b949e"

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color/ — without black, which dark themes swallow.
_OKABE_ITO = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


def arms(n: int) -> list[str]:
    """One colour an objective, in order: A blue, B orange, then purple, green and on."""
    return [ARM_A, ARM_B, "#8250df", "#1a7f37", "#bf3989", "#9a6700"][:n] + [UNTRAINED] * max(0, n - 6)


def classes(n: int) -> list[str]:
    """One colour a class, the i-th always the same for the same n: Okabe–Ito, then an even wheel.

    Beyond 7 classes the wheel takes over whole: n hues evenly apart in OKLCH (Ottosson, 2020), in three lightnesses
    in turn, so that neighbours differ in both.
    """
    if n <= len(_OKABE_ITO):
        return list(_OKABE_ITO[:n])
    golden = 360 * (3 - math.sqrt(5)) / 2  # the golden angle keeps any run of consecutive classes apart
    return [_oklch((0.62, 0.78, 0.48)[index % 3], 0.15, 30 + index * golden) for index in range(n)]


def _oklch(lightness: float, chroma: float, hue: float) -> str:
    """An OKLCH colour as sRGB hex, clipped to the gamut (Ottosson, 2020, https://bottosson.github.io/posts/oklab/)."""
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    middle = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    linear = (4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
              -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
              -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short)
    return "#" + "".join(f"{round(255 * _gamma(min(1.0, max(0.0, value)))):02x}" for value in linear)


def _gamma(value: float) -> float:
    return 12.92 * value if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055

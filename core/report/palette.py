"""Colours that mean one thing everywhere: arms have theirs, classes have others, and each class keeps its own."""

import math

ARM_A = "#1f6feb"
ARM_B = "#f57c00"
UNTRAINED = "#8b949e"

# Okabe & Ito (2008), https://jfly.uni-koeln.de/color/ — without black, which dark themes swallow. After their seven, each is
# the sRGB colour (in steps of 15, OKLab lightness 0.38 to 0.87) farthest from all before it, the distance in OKLab being the
# lesser of that to normal eyes and 1.6 × that under deuteranopia (Machado, Oliveira & Fernandes, 2009, severity 1).
_CLASSES = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#780F4B", "#0000FF", "#D21EFF", "#695A00",
    "#F0C3E1", "#3C2D96", "#2DF087", "#875A78", "#87C396", "#D2003C", "#7800C3", "#694BFF", "#FF96FF", "#FF4B69", "#D22DA5",
    "#8778D2", "#961E87", "#005A0F", "#C3A5D2", "#004B69", "#0F695A", "#A5A50F", "#A5E100", "#B478FF", "#001EC3", "#693C96",
    "#FF8769", "#A53C4B", "#A53CE1", "#00E1C3", "#7896C3", "#005AE1", "#96874B", "#A54BA5", "#D2C35A", "#784B3C", "#C39696",
    "#A5E1B4", "#4B8778", "#5A4B69", "#FF1E87")
# Ends and middle of cividis (Nuñez, Anderton & Renslow, 2018, doi:10.1371/journal.pone.0199239), even to colour-blind eyes.
_RAMP = ("#00326F", "#7C7B78", "#FEE838")


def arms(n: int) -> list[str]:
    """One colour an objective, in order: A blue, B orange, then purple, green and on."""
    return [ARM_A, ARM_B, "#8250df", "#1a7f37", "#bf3989", "#9a6700"][:n] + [UNTRAINED] * max(0, n - 6)


def classes(n: int) -> list[str]:
    """One colour a class, the i-th always the same: 48 that are told apart also under deuteranopia, then a wheel.

    Beyond 48 classes hues follow at the golden angle in OKLCH (Ottosson, 2020), in three lightnesses in turn; so many
    are told apart by their names and by isolating one, no longer by colour.
    """
    golden = 360 * (3 - math.sqrt(5)) / 2  # keeps any run of consecutive classes apart
    wheel = [_oklch((0.62, 0.78, 0.48)[index % 3], 0.15, 30 + index * golden) for index in range(n - len(_CLASSES))]
    return [*_CLASSES[:n], *wheel]


def ramp(n: int) -> list[str]:
    """n colours from dark blue to yellow, for numbers from low to high."""
    ends = [[int(color[position:position + 2], 16) for position in (1, 3, 5)] for color in _RAMP]
    steps = []
    for index in range(n):
        position = 2 * index / max(1, n - 1)
        low, high = ends[min(int(position), 1):][:2]
        share = position - min(int(position), 1)
        steps.append("#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(low, high)))
    return steps


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

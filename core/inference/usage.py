"""The code that gives an exported encoder's vectors without this repository: timm, its own transform, and the weights.

The test suite runs the very text. Writes code and runs none.
"""


def timm_transform(values: dict) -> dict[str, object]:
    """Arguments of `timm.data.create_transform` from the values beside a run's weights, those of earlier versions too.

    Args:
        values: `best.json`, or the header of `best.safetensors`.
    """
    data = dict(values["data_config"])
    if (size := data.pop("image_size", None)) is not None:  # an earlier version's: bicubic and centred, and not quite timm's
        data = {"input_size": [3, size, size], "interpolation": "bicubic", **data, "crop_mode": "center"}
    return data


def is_exact(values: dict) -> bool:
    """Whether timm's transform gives the very pixels the encoder was trained and embedded with."""
    return values.get("encoder", {}).get("geometry") == "timm"


def snippet(file: str, values: dict) -> str:
    """Python code that embeds one image with exported weights.

    Args:
        file: name of the exported .safetensors file.
        values: `best.json`, or the header of `best.safetensors`.
    """
    options = "".join(f", {key}={value!r}" for key, value in values["timm_options"].items())
    transform = "".join(f"    {key}={tuple(value) if isinstance(value, list) else value!r},\n"
                        for key, value in timm_transform(values).items())
    is_unit = values.get("normalization", "l2") == "l2"
    result = "torch.nn.functional.normalize(features, dim=0)  # of length 1" if is_unit else "features"
    return f'''import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file

encoder = timm.create_model({values["timm_name"]!r}, num_classes=0{options})
encoder.load_state_dict(load_file({file!r}))
encoder.eval()
transform = timm.data.create_transform(
{transform}    is_training=False,
)


def vector(path):
    image = ImageOps.exif_transpose(Image.open(path))  # upright
    if image.has_transparency_data:  # on white
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    with torch.inference_mode():
        features = encoder(transform(image.convert("RGB"))[None])[0]
    return {result}'''

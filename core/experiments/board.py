"""TensorBoard event files of a run, for who wants them: the numbers of its records against images seen."""

import importlib.util

from core.errors import InputError
from core.experiments.handles import Run


def check() -> None:
    """Refuses where the package is not installed.

    Raises:
        InputError: with the way to install it.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise InputError("training.tensorboard must be false unless the package tensorboard is installed; install it with: "
                         "pip install tensorboard")


class Board:
    """Writes to a run's `tensorboard/`.

    Args:
        run: which one.
        images_seen: so far; what was written of later ones is hidden.

    """

    def __init__(self, run: Run, images_seen: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run.tensorboard_folder), purge_step=images_seen + 1 if images_seen else None)

    def write(self, images_seen: int, numbers: dict[str, float | int | None]) -> None:
        """Adds the numbers of one record."""
        for name, value in numbers.items():
            if value is not None and name not in ("epoch", "step", "images_seen"):
                self._writer.add_scalar(name, value, images_seen)
        self._writer.flush()

"""TensorBoard event files of a run, for who wants them: the numbers of its records against images seen."""

from pathlib import Path


class Board:
    """Writes to a run's `tensorboard/`.

    Args:
        run: the run's folder.
        step: optimizer steps done; what was written of later ones is hidden.

    Raises:
        ValueError: if the package is not installed.
    """

    def __init__(self, run: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ValueError("training.tensorboard must be false unless the package tensorboard is installed; "
                             "install it with: pip install tensorboard") from None
        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=step or None)

    def write(self, images_seen: int, numbers: dict[str, float | int | None]) -> None:
        """Adds the numbers of one record."""
        for name, value in numbers.items():
            if value is not None and name not in ("epoch", "step", "images_seen"):
                self._writer.add_scalar(name, value, images_seen)
        self._writer.flush()

"""What only torch can tell before anything is created, asked of a process of its own: is there such a device, can this encoder
be built and take its images?

The light half (`check_device`, `check_encoder`) is for pages and commands; the process itself loads torch.
"""

import json
import sys
from functools import lru_cache

from core.config import EncoderConfig, encoder_names
from core.errors import InputError
from core.jobs import tasks
from core.jobs.tasks import Report, TaskFailed


def check_encoder(config: EncoderConfig) -> None:
    """Builds the encoder and shows it an image in a process of its own, so that the caller need not load torch.

    No process for what is known to work: random weights without options at an image size that the encoder takes, and what
    this process has checked before.

    Args:
        config: its `weights` are named or an absolute path.

    Raises:
        InputError: what the encoder's own check said.
    """
    if config.weights == "random" and not config.options and encoder_names.is_known_to_take(config.name, config.image_size):
        return
    file = config.weights_file
    stamp = (file.stat().st_mtime_ns, file.stat().st_size) if file is not None and file.is_file() else None
    _check_encoder(json.dumps(config.model_dump(mode="json")), stamp)


@lru_cache(maxsize=32)  # a refusal is not kept
def _check_encoder(config: str, stamp: tuple[int, int] | None) -> None:
    _ask({"encoder": json.loads(config)})


def check_device(name: str) -> None:
    """Refuses a device this machine lacks before anything is created.

    Raises:
        InputError: with the worker's own sentence.
    """
    if name in ("auto", "cpu"):
        return
    if name != "cuda" and not name.isdigit():
        raise InputError(f"device must be auto, cpu, cuda or the number of a CUDA device, got {name!r}")
    _ask({"device": name})


def _ask(question: dict) -> dict:
    try:
        return tasks.run("core.jobs.checks", question)
    except TaskFailed as error:
        raise InputError(f"could not be checked: {error}") from error


def answer(question: dict, report: Report) -> dict:
    """In the process: the `device` that is meant, by torch's name; of an `encoder`, nothing.

    Raises:
        InputError, OSError: if there is none such, or it cannot be built or take its images.
    """
    if "device" in question:
        from core.training.device import resolve_device

        return {"device": str(resolve_device(question["device"]))}
    from core.training import encoder

    encoder.check(EncoderConfig.model_validate(question["encoder"], context={"stored": True}))
    return {}


if __name__ == "__main__":
    sys.exit(tasks.main(answer))

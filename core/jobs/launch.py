"""From a plan to a running experiment: check the encoder, lay out, start. The one way, for page and command line alike."""

from pathlib import Path

from core.errors import AlreadyExists, InputError
from core.experiments import store
from core.experiments.handles import Experiment
from core.experiments.planning import Plan
from core.jobs import checks, control


def start(checked: Plan, root: Path, data: Path, device: str = "auto", queue: bool = True) -> Experiment:
    """Lays out the experiment's folder and starts its worker; `queue` as in `control.start`.

    Raises:
        InputError, AlreadyExists: as `lay_out`.
    """
    experiment = lay_out(checked, root)
    control.start(experiment, data, device, queue)
    return experiment


def lay_out(checked: Plan, root: Path) -> Experiment:
    """Checks the encoders and lays out the experiment's folder.

    Raises:
        InputError: if an encoder or its weights are refused.
        AlreadyExists: if an experiment of this name exists.
    """
    if (root / checked.config.name).exists():
        raise AlreadyExists(f"name must be new, got {checked.config.name!r}, which exists in {root}")
    checks.check_encoder(checked.config.encoder)
    for number, baseline in enumerate(checked.config.baselines):
        try:
            checks.check_encoder(baseline.encoder(checked.config.encoder))
        except InputError as error:
            told = str(error).replace("--set encoder.weights=data/weights/model.safetensors",
                                      "{name: …, weights: data/weights/model.safetensors} as the baseline")
            raise InputError(told.replace("encoder.", f"baselines.{number}.", 1)) from None
    return store.create(checked.config, checked.manifest, root, checked.random_split, checked.repeats)

"""Seeds added to an experiment that was planned with fewer: their runs are laid out beside the others, and a look is counted.

Starts nothing; runs that were laid out wait to be resumed.
"""

from itertools import count, islice

from core import config as configuration
from core.data import repeats, split
from core.errors import InputError
from core.experiments import looks, planning
from core.experiments.handles import Experiment
from core.experiments.status import RunStatus, State
from core.jobs import control


def add(experiment: Experiment, n_seeds: int) -> tuple[int, ...]:
    """Adds the lowest seeds that an experiment does not have yet, with a run of each arm.

    Args:
        experiment: which one; what it has finished stays as it is.
        n_seeds: how many, at least 1.

    Returns:
        The seeds.

    Raises:
        InputError: if a process is at work on the experiment, or the samples or the config cannot carry so many seeds.
        Damaged: if its files cannot be read.
        OSError: if they cannot be written.
    """
    if n_seeds < 1:
        raise InputError(f"seeds to add must be at least 1, got {n_seeds}")
    config = experiment.config
    added = tuple(islice((seed for seed in count() if seed not in config.seeds), n_seeds))
    grown = configuration.parse({**config.to_json(), "seeds": [*config.seeds, *added]}, stored=True)
    leaky = next((other for other in map(config.split_of, config.objectives) if other != config.split), None)
    with control.at_rest(experiment, "seeds can be added"):
        looks.upcoming(experiment)  # refuses a damaged count before anything is written
        manifest, *further = repeats.with_more_seeds(
            [experiment.manifest(repeat=number) for number in range(config.split.repeats)], config.split, added)
        repeats.check_plan((manifest, *further), grown)
        planning.check_baselines(grown, manifest)
        for number, each in enumerate((manifest, *further)):
            each.write(experiment.repeat_file(number))
        if leaky is not None and experiment.random_split_file.is_file():
            split.with_more_seeds(experiment.manifest(leaky), leaky, added).write(experiment.random_split_file)
        for run in grown.runs():
            if run.seed in added:
                experiment.run(run.name).lay_out(run, manifest.fingerprint)
                experiment.run(run.name).write_status(RunStatus(State.QUEUED))
        looks.write_added(experiment, grown, added)  # last: until then the runs are none, and are laid out again
    return added

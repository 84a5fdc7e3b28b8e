"""An experiment file, run in the foreground; under torch's launcher as one process of several."""

import argparse
import json
import os
import sys
import time
from pathlib import Path

from core import config as configuration
from core import identity
from core.cli.follow import conclude, follow
from core.cli.output import say
from core.cli.planning import plan
from core.config import ExperimentConfig, experiment_file
from core.data import separation
from core.errors import InputError
from core.experiments import looks, preflight, store
from core.experiments.handles import Experiment
from core.experiments.planning import Plan
from core.jobs import checks, control, device_queue, launch
from core.jobs.device_queue import Ticket


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes without a command."""
    parser.add_argument("--config", type=Path, metavar="FILE", help="run this experiment in the foreground")
    parser.add_argument("--name", help="name of the experiment, instead of the file's")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="override one field of the config, as in training.lr=0.001; may be repeated")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    if options.config is None:
        raise InputError("nothing to do: give --config FILE or a command (python main.py --help lists them)")
    overrides = list(options.overrides)
    if options.name is not None:
        overrides.append(f"name={json.dumps(configuration.check_name(options.name))}")
    configs = experiment_file.load_all(options.config, tuple(overrides))
    if len(configs) > 1 and (options.name is not None or options.json):
        raise InputError(f"--name and --json must be left out for a file of several experiments, got {options.config} with "
                         f"{len(configs)}")
    if options.name is None:  # the same file may be run again; a name that was asked for is taken as it is
        configs = [config.model_copy(update={"name": store.free_name(options.checkpoints, config.name)})
                   for config in configs]
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return _run_as_one_of_several(configs, options)
    checks.check_device(options.device)
    plans = [plan(config, options) for config in configs]  # what cannot work is refused before anything has run
    return max(follow(_launch(checked, options), options) for checked in plans)


def _launch(checked: Plan, options: argparse.Namespace) -> Experiment:
    """Starts an experiment, and says what is known of its split."""
    experiment = launch.start(checked, options.checkpoints, options.data, options.device, options.queue)
    known = separation.sentence(checked.manifest)
    say(f"{known[0].upper()}{known[1:]}. {separation.advice(checked.manifest)}".rstrip(), file=sys.stderr)
    ahead = preflight.look_ahead(checked, root=None)
    note = looks.of(experiment, len(experiment.config.seeds)).note
    for sentence in filter(None, (ahead.shuffled_sentence, ahead.gap_sentence, note)):
        say(f"{sentence}.", file=sys.stderr)
    return experiment


def _run_as_one_of_several(configs: list[ExperimentConfig], options: argparse.Namespace) -> int:
    """Under torch's launcher, maybe on several machines that share the disk: this process is itself one that trains.

    The first lays the experiment out and says how it went; nobody waits in the queue, which is one machine's alone.
    """
    from core.jobs import series

    code = 0
    for config in configs:
        def lay_out(config: ExperimentConfig = config) -> Experiment:
            training = config.training.model_copy(update={"devices": int(os.environ["WORLD_SIZE"])})
            experiment = launch.lay_out(plan(config.model_copy(update={"training": training}), options), options.checkpoints)
            control.claim(experiment, options.device)
            device_queue.enter(experiment.root, Ticket(time.time_ns(), experiment.name, (), **identity.of(os.getpid())))
            return experiment

        experiment = series.take_part(lay_out, options.data.resolve(), options.device)
        if os.environ["RANK"] == "0":
            code = max(code, conclude(experiment, options))
    return code

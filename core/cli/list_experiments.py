"""`list`: experiments, their runs and states."""

import argparse
import json

from core.cli.output import say
from core.experiments import store
from core.experiments.status import State
from core.jobs import device_queue, overview

HELP = "list experiments, their runs and states"
SHARED = ("json",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes nothing of its own."""


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    overviews = [overview.read(experiment) for experiment in store.experiments(options.checkpoints)]
    tickets = [str(error) for error in device_queue.damaged(options.checkpoints)]
    if options.json:
        print(json.dumps({"experiments": [
            {"experiment": each.name, "state": each.state, "share": each.progress.share if each.progress else None,
             "sentence": each.sentence, "runs": each.runs, "damage": list(each.damage)} for each in overviews],
            **({"queue_damage": tickets} if tickets else {})}))
        return 0
    for each in overviews:
        n_done = sum(state == State.COMPLETED for state in each.runs.values())
        waits = overview.position(each)
        said = each.sentence or each.remark if waits is None else f"number {waits} in the queue"
        say(f"{each.name}  {each.state}  " + (f"{n_done} of {len(each.runs)} runs  {said}".rstrip() if each.is_readable else
                                              "; ".join(each.damage)))
        for sentence in each.damage if each.is_readable else ():
            say(f"  damaged: {sentence}")
        for name, state in each.runs.items():
            say(f"  {each.name}/{name}  {state}")
    for sentence in tickets:
        say(f"damaged: {sentence}")
    if not overviews:
        say(f"no experiments in {options.checkpoints}; start one with: python main.py --config configs/demo.yaml")
    return 0

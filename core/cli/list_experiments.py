"""`list`: experiments, their runs and states."""

import argparse
import json

from core.cli.output import say
from core.experiments import directory
from core.jobs import device_queue, overview

HELP = "list experiments, their runs and states"
SHARED = ("json",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """It takes nothing of its own."""


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    found = [overview.read(folder) for folder in directory.experiments(options.checkpoints)]
    tickets = [str(error) for error in device_queue.damaged(options.checkpoints)]
    if options.json:
        print(json.dumps({"experiments": [
            {"experiment": item.name, "state": item.state, "share": item.progress.share if item.progress else None,
             "sentence": item.sentence, "runs": item.runs, "damage": list(item.damage)} for item in found],
            **({"queue_damage": tickets} if tickets else {})}))
        return 0
    for item in found:
        n_done = sum(state == "completed" for state in item.runs.values())
        waits = overview.position(item)
        said = item.sentence if waits is None else f"number {waits} in the queue"
        say(f"{item.name}  {item.state}  " + (f"{n_done} of {len(item.runs)} runs  {said}".rstrip() if item.is_readable else
                                              "; ".join(item.damage)))
        for sentence in item.damage if item.is_readable else ():
            say(f"  damaged: {sentence}")
        for name, state in item.runs.items():
            say(f"  {item.name}/{name}  {state}")
    for sentence in tickets:
        say(f"damaged: {sentence}")
    if not found:
        say(f"no experiments in {options.checkpoints}; start one with: python main.py --config configs/demo.yaml")
    return 0

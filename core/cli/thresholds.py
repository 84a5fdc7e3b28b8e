"""`thresholds`: from which similarity on two images show the same class, and an image a known one."""

import argparse
import json
from dataclasses import asdict

from core.cli.output import aligned, say

HELP = "say from which similarity on two images show the same class, and how often that is wrong"
SHARED = ("json",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    for place in ("a", "b"):
        parser.add_argument(place, help="experiment/run, experiment/arm (all its seeds) or an embedding table's file")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    from core.results import same_or_not  # scikit-learn takes a second to import: only here

    compared = same_or_not.find(options.checkpoints, options.a, options.b)
    sentences = [*same_or_not.pair_sentences(compared), *same_or_not.unknown_sentences(compared)]
    if options.json:
        print(json.dumps({**asdict(compared), "sentences": sentences, "curve_false_accept": same_or_not.CURVE.tolist()}))
        return 0
    for sentence in sentences:
        say(f"{sentence}.")
    print(aligned([same_or_not.head(compared), *same_or_not.rows(compared)], to_left=(0,)))
    say(f"A is {compared.a.name} ({options.a}), B {compared.b.name} ({options.b}). {same_or_not.NOT_ASKED}.")
    return 0

"""`conclude`: on how many of several datasets one arm is better than another."""

import argparse
import json

from core.cli.output import aligned, say
from core.experiments import store

HELP = "say on how many of several datasets one arm is better than another"
SHARED = ("json",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("experiments", nargs="+", metavar="EXPERIMENT", help="finished experiments that ask the same "
                        "question, each of a dataset of its own")
    parser.add_argument("--arms", nargs=2, metavar=("A", "B"), help="arms of the first experiment, such as classification and "
                        "supcon (default: those of its own verdict)")
    parser.add_argument("--images-per-class", type=_images_per_class, metavar="N", help="a number or all (default: the most "
                        "of each experiment)")
    parser.add_argument("--independent", action="store_true", help="the datasets do not depend on each other: combine them by "
                        "Fisher's method, which counts more of them than Bonferroni's")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    from core.results import conclusion, same_question  # scikit-learn takes a second to import: only here

    experiments = [store.find(options.checkpoints, name) for name in options.experiments]
    answers = same_question.ask(experiments, tuple(options.arms) if options.arms else None, options.images_per_class)
    concluded = conclusion.conclude(answers, "fisher" if options.independent else "bonferroni")
    if options.json:
        print(json.dumps(conclusion.to_json(concluded)))
        return 0
    say(f"{concluded.sentence}.")
    print(aligned([list(conclusion.HEAD), *concluded.rows], to_left=(0, 6, 7)))
    for item in concluded.left_out:
        say(f"Left out: {item.experiment} {item.why}.")
    say(f"A is {concluded.name_a}, B {concluded.name_b}; percent. {concluded.method}")
    for sentence in (*concluded.notes, conclusion.NOT_COVERED):
        say(sentence)
    return 0


def _images_per_class(text: str) -> int | str:
    if text == "all" or text.isdecimal():
        return text if text == "all" else int(text)
    raise argparse.ArgumentTypeError(f"must be a number or all, got {text!r}")

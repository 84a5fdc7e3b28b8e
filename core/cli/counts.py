"""`counts`: which gaps of a published table are real."""

import argparse
import json
from dataclasses import asdict

from core.cli.output import say
from core.errors import InputError

HELP = "say which gaps of a published table are real"
SHARED = ("json",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("counts", nargs="+", metavar="COUNT", help="A and B of each gap in turn, as 17/30 (right of images) "
                        "or 56.67:30 (percent of images)")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    from core.analysis import paired_tests

    counts = [paired_tests.parse_count(text) for text in options.counts]
    if len(counts) % 2:
        raise InputError(f"counts must come in pairs, A and B of each gap, got {len(counts)}")
    gaps = paired_tests.compare_counts([(*a, *b) for a, b in zip(counts[::2], counts[1::2])])
    if options.json:
        print(json.dumps({"gaps": [asdict(gap) for gap in gaps]}))
        return 0
    for gap in gaps:
        share_a, share_b = 100 * gap.right_a / gap.n_a, 100 * gap.right_b / gap.n_b
        verdict = "cannot tell" if gap.verdict == "cannot tell" else f"B is {gap.verdict}"
        say(f"A {gap.right_a}/{gap.n_a} = {share_a:.2f} %   B {gap.right_b}/{gap.n_b} = {share_b:.2f} %   B − A "
            f"{share_b - share_a:+z.2f}   p = {gap.p_value:.2g}, {gap.p_holm:.2g} after Holm   {verdict}")
    say("Fisher's exact test, as if A and B had been tested on different images, Holm over the gaps; it knows no seeds.")
    return 0

"""`counts`: which gaps of a published table are real."""

import argparse
import json
from dataclasses import asdict

from core.cli.output import say

HELP = "say which gaps of a published table are real"
SHARED = ("json",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("counts", nargs="+", metavar="COUNT", help="A and B of each gap in turn, as 17/30 (right of images) "
                        "or 56.67:30 (percent of images)")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    from core.analysis import paired_tests

    given = [paired_tests.parse_count(text) for text in options.counts]
    if len(given) % 2:
        raise ValueError(f"counts must come in pairs, A and B of each gap, got {len(given)}")
    found = paired_tests.compare_counts([(*a, *b) for a, b in zip(given[::2], given[1::2])])
    if options.json:
        print(json.dumps({"gaps": [asdict(item) for item in found]}))
        return 0
    for item in found:
        share_a, share_b = 100 * item.right_a / item.n_a, 100 * item.right_b / item.n_b
        verdict = "cannot tell" if item.verdict == "cannot tell" else f"B is {item.verdict}"
        say(f"A {item.right_a}/{item.n_a} = {share_a:.2f} %   B {item.right_b}/{item.n_b} = {share_b:.2f} %   B − A "
            f"{share_b - share_a:+.2f}   p = {item.p_value:.2g}, {item.p_holm:.2g} after Holm   {verdict}")
    say("Fisher's exact test, as if A and B had been tested on different images, Holm over the gaps; it knows no seeds.")
    return 0

"""`compare`: two spaces, or the settings of two experiment files."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from core.cli.output import aligned, check_output, say
from core.config import experiment_file

HELP = "compare two spaces"
SHARED = ("json",)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    for place in ("a", "b"):
        parser.add_argument(place, help="experiment/run, experiment/arm (all its seeds) or an embedding table's file; of two "
                                        "experiment files (.yaml), whether runs of them would be a fair comparison")
    parser.add_argument("--output", type=Path, metavar="FILE.html", help="also write a report of one page")


def main(options: argparse.Namespace) -> int:
    """Runs the command; returns the exit code."""
    if {Path(name).suffix for name in (options.a, options.b)} <= {".yaml", ".yml"}:
        return _compare_files(options)
    from core.analysis import statements
    from core.results import pairs, result, verdict  # scikit-learn takes a second to import: only here

    if options.output:
        check_output(options.output, (".html",))
    a, b = pairs.find(options.checkpoints, options.a, options.b)
    compared = verdict.compare(a, b, look=pairs.look(options.checkpoints, (options.a, options.b), len(a.files)))
    if options.output:
        from core.analysis import table as tables
        from core.report import html

        html.write_comparison(compared, [tables.read(side.files[0]) for side in (a, b)], options.output)
    if options.json:
        print(json.dumps(result.to_json(compared)))
        return 0
    say(f"{compared.sentence}.")
    if compared.look_note:
        say(f"{compared.look_note}.")
    if compared.n_dropped:
        say(f"{compared.n_dropped} test images stand in only one of the two and were left out.")
    head = statements.head(compared.differences[0].alpha)
    print(aligned([list(head), *(statements.row(item).cells for item in compared.differences)], to_left=(0, 6)))
    if macro := statements.macro_sentence(compared):
        say(f"{macro}.")
    note = f" ({compared.draws_note})" if compared.draws_note else ""
    say(f"A is {compared.name_a} ({options.a}), B {compared.name_b} ({options.b}).")
    say(f"Percent, each test image counted alike; intervals from {compared.n_bootstrap:,} bootstrap draws{note}. P(B > A): "
        f"how often one more run of B would beat one more of A.")
    return 0


def _compare_files(options: argparse.Namespace) -> int:
    """Whether runs of two experiment files would be a fair comparison: their first objectives' settings, field by field."""
    from core.analysis import fairness, statements
    from core.results import protocol

    configs = [experiment_file.load(Path(name)) for name in (options.a, options.b)]
    runs = [next(run for run in config.runs() if run.is_trained) for config in configs]
    settings = fairness.differences(*(protocol.of_config(run, config.seeds) for run, config in zip(runs, configs)))
    names = fairness.confounders(settings)
    if options.json:
        print(json.dumps({"confounders": names, "settings": [asdict(item) for item in settings]}))
        return 0
    say(f"{statements.first_up(statements.unfair_words(names))}." if names else
        "A fair comparison: only what is under test differs.")
    for item in settings:
        say(f"{item.kind:<11} {item.name:<28} A {item.a}   B {item.b}{f'   ({item.why})' if item.why else ''}")
    return 0

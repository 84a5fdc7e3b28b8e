"""The command line: everything the screens do, without a browser.

Exit code 0: done. 1: the work failed. 2: bad input, with one line on standard error.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn, TextIO

from tqdm import tqdm

from core import config as configuration
from core import experiment_file
from core.config import ExperimentConfig
from core.data import census, separation
from core.experiments import best, directory, leftovers, planning
from core.files import Damaged
from core.jobs import control, device_queue, launch, overview, relocation
from core.quantities import duration, percent
from core.visible import visible
from core.wording import failure

PROJECT = Path(__file__).resolve().parent
BAD_INPUT = (ValueError, FileNotFoundError, FileExistsError, NotADirectoryError, ConnectionError)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (python main.py --help lists what is allowed)\n")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; returns the exit code."""
    options = _parse(arguments)
    leftovers.sweep(options.checkpoints, options.data)
    try:
        return options.command(options)
    except BrokenPipeError:  # whoever read the output has had enough
        sys.stderr.close()
        return 0
    except BAD_INPUT as error:
        _say(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        is_work = isinstance(error, Damaged) and options.command in (_export, _embed)  # its run was whole once
        return 1 if is_work else 2
    except OSError as error:  # a full disk, a cache that cannot be written
        _say(f"error: {failure(error)}", file=sys.stderr)
        return 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    roots = argparse.ArgumentParser(add_help=False)
    roots.add_argument("--data", type=Path, default=argparse.SUPPRESS, help="root of datasets (default: DUET_DATA, or data)")
    roots.add_argument("--checkpoints", type=Path, default=argparse.SUPPRESS,
                       help="root of experiments (default: DUET_CHECKPOINTS, or checkpoints)")
    device = argparse.ArgumentParser(add_help=False)
    device.add_argument("--device", default="auto", help="auto, cpu, cuda, or the number of a CUDA device")
    queue = argparse.ArgumentParser(add_help=False)
    queue.add_argument("--no-queue", action="store_false", dest="queue", default=argparse.SUPPRESS,
                       help="share the device with experiments that asked before instead of waiting for them")
    as_json = argparse.ArgumentParser(add_help=False)
    as_json.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")

    parser = _Parser(prog="main.py", parents=[roots, device, queue, as_json], description="Run an experiment, or one of the "
                     "commands below. Which embedding is better for your images, and is the difference real?")
    parser.add_argument("--config", type=Path, metavar="FILE", help="run this experiment in the foreground")
    parser.add_argument("--name", help="name of the experiment, instead of the file's")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
                        help="override one field of the config, as in training.lr=0.001; may be repeated")
    parser.set_defaults(command=_run)
    commands = parser.add_subparsers(metavar="command", parser_class=_Parser)

    def add(name: str, command: Callable[[argparse.Namespace], int], text: str, *parents: argparse.ArgumentParser,
            run: str = "") -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[roots, *parents])
        added.set_defaults(command=command)
        if run:
            added.add_argument("run", metavar="RUN", help=run)
        return added

    add("list", _list, "list experiments, their runs and states", as_json)
    add("stop", _stop, "ask a run, or all runs of an experiment, to stop", run="experiment/run, or experiment")
    resume = add("resume", _resume, "go on with stopped, failed or lost runs", device, queue,
                 run="experiment/run, or experiment")
    resume.add_argument("--set", action="append", metavar="dataset.root=PLACE", dest="overrides", default=argparse.SUPPRESS,
                        help="where the images are now, if they were moved; taken if every file is the one that was scanned")
    embed = add("embed", _embed, "embed any folder of images with a trained encoder", device, run="experiment/run")
    embed.add_argument("folder", type=Path)
    embed.add_argument("--output", type=Path, required=True, metavar="FILE.parquet")
    embed.add_argument("--allow-unfinished", action="store_true",
                       help="also take the best weights so far of a run that is not completed; the table says so")
    compare = add("compare", _compare, "compare two spaces", as_json)
    for place in ("a", "b"):
        compare.add_argument(place, help="experiment/run, experiment/arm (all its seeds) or an embedding table's file; of two "
                                         "experiment files (.yaml), whether runs of them would be a fair comparison")
    compare.add_argument("--output", type=Path, metavar="FILE.html", help="also write a report of one page")
    counts = add("counts", _counts, "say which gaps of a published table are real", as_json)
    counts.add_argument("counts", nargs="+", metavar="COUNT", help="A and B of each gap in turn, as 17/30 (right of images) "
                        "or 56.67:30 (percent of images)")
    export = add("export", _export, "take a run's embeddings or encoder with you, or an experiment's report (html)",
                 run="experiment/run, or experiment")
    export.add_argument("--output", type=Path, required=True, metavar="FILE.{parquet,html,onnx,safetensors}")
    bench = add("bench", _bench, "time training and embedding against what the device alone can do", device, as_json)
    bench.add_argument("--config", type=Path, metavar="FILE", default=argparse.SUPPRESS,
                       help="time this experiment's first run (default: the demo)")
    bench.add_argument("--set", action="append", metavar="KEY=VALUE", dest="overrides", default=argparse.SUPPRESS,
                       help="override one field of the config; may be repeated")
    bench.add_argument("--rounds", type=int, default=5, help="rounds that count (default: 5)")
    bench.add_argument("--trace", type=Path, metavar="FILE.json", help="also write a profile of ten training steps")
    data, checkpoints = (Path(os.environ.get(f"DUET_{name.upper()}", name)) for name in ("data", "checkpoints"))  # as the app
    defaults = argparse.Namespace(data=data, checkpoints=checkpoints, queue=True)
    return parser.parse_args(arguments, defaults)


def _run(options: argparse.Namespace) -> int:
    if options.config is None:
        raise ValueError("nothing to do: give --config FILE or a command (python main.py --help lists them)")
    overrides = list(options.overrides)
    if options.name is not None:
        overrides.append(f"name={json.dumps(configuration.check_name(options.name))}")
    configs = experiment_file.load_all(options.config, tuple(overrides))
    if len(configs) > 1 and (options.name is not None or options.json):
        raise ValueError(f"--name and --json must be left out for a file of several experiments, got {options.config} with "
                         f"{len(configs)}")
    if options.name is None:  # the same file may be run again; a name that was asked for is taken as it is
        configs = [config.model_copy(update={"name": directory.free_name(options.checkpoints, config.name)})
                   for config in configs]
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        return _run_as_one_of_several(configs, options)
    control.check_device(options.device)
    plans = [_plan(config, options) for config in configs]  # what cannot work is refused before anything has run
    return max(_follow(_launch(checked, options), options) for checked in plans)


def _launch(checked: planning.Plan, options: argparse.Namespace) -> Path:
    """Starts an experiment, and says what is known of its split."""
    folder = launch.start(checked, options.checkpoints, options.data, options.device, options.queue)
    known = separation.sentence(checked.manifest)
    _say(f"{known[0].upper()}{known[1:]}. {separation.advice(checked.manifest)}".rstrip(), file=sys.stderr)
    return folder


def _run_as_one_of_several(configs: list[ExperimentConfig], options: argparse.Namespace) -> int:
    """Under torch's launcher, maybe on several machines that share the disk: this process is itself one that trains.

    The first lays the experiment out and says how it went; nobody waits in the queue, which is one machine's alone.
    """
    from core.jobs import series

    code = 0
    for config in configs:
        def lay_out(config: ExperimentConfig = config) -> Path:
            training = config.training.model_copy(update={"devices": int(os.environ["WORLD_SIZE"])})
            folder = launch.lay_out(_plan(config.model_copy(update={"training": training}), options), options.checkpoints)
            control.claim(folder, options.device)
            return folder

        folder = series.take_part(lay_out, options.data.resolve(), options.device)
        if os.environ["RANK"] == "0":
            code = max(code, _conclude(folder, options))
    return code


def _plan(config: ExperimentConfig, options: argparse.Namespace) -> planning.Plan:
    if planning.needs_download(config.dataset):
        root = str(Path(config.dataset.root).resolve())
        failed = subprocess.run([sys.executable, "-m", "core.jobs.fetch", root], cwd=PROJECT).returncode
        if failed:
            raise SystemExit(failed)  # it has said why
    with tqdm(desc="reading images", unit=" images", disable=None, leave=False) as bar:
        checked = planning.plan(config, options.data, _on(bar))
    for line in census.lines(checked.manifest):
        _say(line, file=sys.stderr)
    pairs, conflicts = checked.manifest.duplicates, checked.manifest.conflicts
    if pairs:
        _say(f"copies of a picture, each kept on one side of the split: {len(pairs):,}", file=sys.stderr)
    if conflicts:
        shown = ", ".join(f"{pair.a} and {pair.b}" for pair in conflicts[:5])
        _say(f"the same picture under two labels: {len(conflicts):,} ({shown}{', …' if len(conflicts) > 5 else ''})",
              file=sys.stderr)
    return checked


def _follow(folder: Path, options: argparse.Namespace) -> int:
    try:
        _show_progress(folder)
    except KeyboardInterrupt:
        _say("stopping after the step in hand …", file=sys.stderr)
        control.stop(directory.runs(folder))
        control.wait(folder, seconds=30)
        _say(f"stopped; go on with: python main.py resume {folder.name}", file=sys.stderr)
        return 1
    return _conclude(folder, options)


def _conclude(folder: Path, options: argparse.Namespace) -> int:
    """Prints what an experiment that has ended found, and how its runs did; returns the exit code."""
    statuses = {run.name: control.derived_status(run) for run in directory.runs(folder)}
    try:
        verdict = directory.read_verdict(folder)
    except (FileNotFoundError, Damaged) as error:
        verdict = {}
        if isinstance(error, Damaged):
            _say(str(error), file=sys.stderr)
    if options.json:
        print(json.dumps({"experiment": folder.name, "states": {name: item.state for name, item in statuses.items()},
                          **verdict}))
    elif verdict:
        for rows, comparisons, of in ((verdict["rows"], verdict["comparisons"], "test images"), (
                verdict.get("open_rows"), verdict.get("open_comparisons"), "images of held-out classes, among themselves")):
            if rows:
                print(_table(rows, of))
            for count, said in [(item["images_per_class"], item["sentence"]) for item in comparisons or ()] + [
                    (row["images_per_class"], row[key]) for row in rows or () for key in ("not_improved", "unchanged")
                    if row.get(key)]:
                _say(f"{'All images' if count == 'all' else f'{count} images per class'}: {said}.")
        for pair in (verdict.get("curve") or {"pairs": ()})["pairs"]:  # the file may be an earlier version's
            _say(f"{pair['sentence']}. {pair['crossing_sentence']}.")
        _say(f"Look closer: streamlit run streamlit_app.py, then open {folder.name}.")
    failed = {name: item for name, item in statuses.items() if item.state != "completed"}
    for name, item in failed.items():
        _say(f"{name} {item.state}{f': {item.message}' if item.message else ''}", file=sys.stderr)
    if failed:
        _say(f"go on with: python main.py resume {folder.name}", file=sys.stderr)
    return 1 if failed else 0


def _show_progress(folder: Path) -> None:
    names = [run.name for run in directory.runs(folder)]
    told: set[str] = set()
    is_terminal = sys.stderr.isatty()
    with tqdm(total=100, desc=folder.name, disable=None, bar_format="{desc} {percentage:3.0f}%|{bar}| {postfix}") as bar:
        while True:
            has_ended = control.wait(folder, seconds=0.5)
            progress = control.progress(folder)
            statuses = {name: control.derived_status(folder / name) for name in names}
            current = next((f"{name} {item.phase}" for name, item in statuses.items() if item.state == "running"),
                           _queued(folder))
            left = "" if progress.seconds_left is None else f", {duration(progress.seconds_left)} left"
            bar.n = round(100 * progress.share)
            bar.set_postfix_str(f"run {progress.n_done} of {progress.n_runs}{left}, {current}")
            for name, item in statuses.items():
                if not is_terminal and item.state in ("completed", "failed", "stopped") and name not in told:
                    told.add(name)
                    _say(f"{folder.name} {100 * progress.share:3.0f}% run {progress.n_done} of {progress.n_runs}{left}: "
                          f"{name} {item.state}{_last_score(folder / name)}", file=sys.stderr)
            if has_ended:
                return


def _queued(folder: Path) -> str:
    position = device_queue.position(folder)
    return "" if position is None else f"number {position} in the queue"


def _last_score(run: Path) -> str:
    records = directory.read_records(run)
    if not records or "validation_map_at_r" not in records[-1]:
        return ""
    return f", validation MAP@R {100 * records[-1]['validation_map_at_r']:.1f}; {best.words(run)}".rstrip("; ")


def _table(rows: list[dict], of: str) -> str:
    from core.analysis.metrics import METRICS, SHORT

    names = [name for name in SHORT if name in rows[0]["metrics"]]
    head = ["objective", "images per class", *(METRICS[name].title for name in names)]
    lines = [head]
    for row in rows:
        found = [row["metrics"][name] for name in names]
        cells = [percent(item["mean"], item["sd"], row["n_seeds"]) for item in found]
        leaks = f" (leaks: {' and '.join(row['leaks'])})" if row["leaks"] else ""
        lines.append([row["objective"] + leaks, str(row["images_per_class"]), *cells])
    text = [_aligned(lines, to_left=(0, 1))]
    n_seeds = max(row["n_seeds"] for row in rows)
    over = "one seed" if n_seeds == 1 else f"mean ± sd over {n_seeds} seeds"
    text.append(f"Percent on {rows[0]['n_test']} {of}; {over}.")
    return "\n".join(text)


def _say(text: str, file: TextIO | None = None) -> None:
    """Prints a line; a name in it can neither steer the terminal nor begin another line."""
    print(visible(text), file=file or sys.stdout)


def _aligned(lines: list[list[str]], to_left: tuple[int, ...]) -> str:
    """Lines of cells as a table, the first line its head; the named columns to the left, the others to the right."""
    widths = [max(len(line[place]) for line in lines) for place in range(len(lines[0]))]
    text = ["  ".join(cell.ljust(width) if place in to_left else cell.rjust(width)
                      for place, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines]
    text.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(text)


def _list(options: argparse.Namespace) -> int:
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
        _say(f"{item.name}  {item.state}  " + (f"{n_done} of {len(item.runs)} runs  {said}".rstrip() if item.is_readable else
                                                "; ".join(item.damage)))
        for sentence in item.damage if item.is_readable else ():
            _say(f"  damaged: {sentence}")
        for name, state in item.runs.items():
            _say(f"  {item.name}/{name}  {state}")
    for sentence in tickets:
        _say(f"damaged: {sentence}")
    if not found:
        _say(f"no experiments in {options.checkpoints}; start one with: python main.py --config configs/demo.yaml")
    return 0


def _runs_named(options: argparse.Namespace) -> list[Path]:
    folder = directory.find(options.checkpoints, options.run)
    return [folder] if "/" in options.run else directory.runs(folder)


def _stop(options: argparse.Namespace) -> int:
    runs = [run for run in _runs_named(options) if control.derived_status(run).state in control.UNFINISHED]
    if not runs:
        raise ValueError(f"a run to stop must be queued or running, got none in {options.run!r}")
    control.stop(runs)
    for run in runs:
        _say(f"{run.parent.name}/{run.name}: asked to stop")
    return 0


def _resume(options: argparse.Namespace) -> int:
    runs = _runs_named(options)
    control.check_device(options.device)
    root = relocation.wanted_root(options.overrides)
    if root is not None:
        folder = runs[0].parent
        with tqdm(desc="comparing images", unit=" images", disable=None, leave=False) as bar:
            relocation.move(folder, root, _on(bar))
        _say(f"{folder.name}: dataset.root is now {root}; every file is the one that was scanned", file=sys.stderr)
        if all(control.derived_status(run).state == "completed" for run in runs):
            return 0
    if not control.resume(runs, options.data, options.device, options.queue):
        raise ValueError(f"a run to resume must be {', '.join(control.RESUMABLE)}, "
                         f"got {control.derived_status(runs[0]).state} for {options.run!r}")
    folder = runs[0].parent
    options.json = False
    return _follow(folder, options)


def _embed(options: argparse.Namespace) -> int:
    run = directory.find(options.checkpoints, options.run)
    _check_output(options.output, (".parquet",))
    if not options.folder.is_dir():
        raise FileNotFoundError(f"folder must hold images, found none at {options.folder}")
    from core.analysis import table as tables
    from core.data import listing
    from core.inference import embedding  # loads torch: only here
    from core.training.device import resolve_device

    with tqdm(desc="reading images", unit=" images", disable=None, leave=False) as bar:
        table, left_out = embedding.embed_folder(run, options.folder, resolve_device(options.device), _on(bar),
                                                options.allow_unfinished)
    tables.write(table, options.output)
    for name, reason in left_out:
        _say(f"left out {name}: {reason}", file=sys.stderr)
    if others := table.metadata["folder"]["other_files"]:
        _say(f"no images: {listing.other_words(others)}", file=sys.stderr)
    _say(f"{options.output}: {len(table):,} images, {table.embedding.shape[1]} dimensions")
    return 0


def _compare(options: argparse.Namespace) -> int:
    if {Path(name).suffix for name in (options.a, options.b)} <= {".yaml", ".yml"}:
        return _compare_files(options)
    from core.analysis import comparison
    from core.results import pairs, verdict  # scikit-learn takes a second to import: only here

    if options.output:
        _check_output(options.output, (".html",))
    a, b = pairs.find(options.checkpoints, options.a, options.b)
    found = verdict.compare(a, b)
    if options.output:
        from core.analysis import table as tables
        from core.report import html

        html.write_comparison(found, [tables.read(side.files[0]) for side in (a, b)], options.output)
    if options.json:
        print(json.dumps(found.to_json()))
        return 0
    _say(f"{found.sentence}.")
    if found.n_dropped:
        _say(f"{found.n_dropped} test images stand in only one of the two and were left out.")
    rows = [comparison.row(item.to_json()) for item in found.differences]
    print(_aligned([["metric", "A", "B", "B − A", "95 % interval", "can we tell?"],
                    *([row.title, row.a, row.b, row.difference, f"{row.low} to {row.high}", row.answer] for row in rows)],
                   to_left=(0, 5)))
    note = f" ({found.draws_note})" if found.draws_note else ""
    _say(f"A is {found.name_a} ({options.a}), B {found.name_b} ({options.b}).")
    _say(f"Percent; intervals from "
         f"{found.n_bootstrap:,} bootstrap draws{note}.")
    return 0


def _compare_files(options: argparse.Namespace) -> int:
    """Whether runs of two experiment files would be a fair comparison: their first objectives' settings, field by field."""
    from core.analysis import comparison, fairness
    from core.results import protocol

    configs = [experiment_file.load(Path(name)) for name in (options.a, options.b)]
    runs = [next(run for run in config.runs() if run.is_trained) for config in configs]
    found = fairness.differences(*(protocol.of_config(run, config.seeds) for run, config in zip(runs, configs)))
    names = fairness.confounders(found)
    if options.json:
        print(json.dumps({"confounders": names, "settings": [item.to_json() for item in found]}))
        return 0
    _say(f"{comparison.first_up(comparison.unfair_words(names))}." if names else
          "A fair comparison: only what is under test differs.")
    for item in found:
        _say(f"{item.kind:<11} {item.name:<28} A {item.a}   B {item.b}{f'   ({item.why})' if item.why else ''}")
    return 0


def _counts(options: argparse.Namespace) -> int:
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
        _say(f"A {item.right_a}/{item.n_a} = {share_a:.2f} %   B {item.right_b}/{item.n_b} = {share_b:.2f} %   B − A "
              f"{share_b - share_a:+.2f}   p = {item.p_value:.2g}, {item.p_holm:.2g} after Holm   {verdict}")
    _say("Fisher's exact test, as if A and B had been tested on different images, Holm over the gaps; it knows no seeds.")
    return 0


def _export(options: argparse.Namespace) -> int:
    if "/" not in options.run:
        _check_output(options.output, (".html",))
        from core.report import gathering

        gathering.write(directory.find(options.checkpoints, options.run), options.output)
        _say(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
        return 0
    from core.inference import exports

    _check_output(options.output, exports.SUFFIXES)
    exports.write(directory.find(options.checkpoints, options.run), options.output)
    _say(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


def _bench(options: argparse.Namespace) -> int:
    if options.rounds < 1:
        raise ValueError(f"--rounds must be at least 1, got {options.rounds}")
    arguments = ["--device", options.device, "--rounds", str(options.rounds), "--data", str(options.data.resolve())]
    if options.trace:
        _check_output(options.trace, (".json",), "--trace")
        arguments += ["--trace", str(options.trace.resolve())]
    if options.json:
        arguments.append("--json")
    config = experiment_file.load(options.config or PROJECT / "configs" / "demo.yaml", tuple(options.overrides))
    control.check_device(options.device)
    plan = _plan(config, options)
    experiment = json.dumps(plan.config.to_json())
    quiet = {"KINETO_LOG_LEVEL": "99"}  # to torch's profiler a machine without a GPU is an error
    try:
        return subprocess.run([sys.executable, "-m", "core.benchmark.bench", experiment, *arguments], cwd=PROJECT,
                              env={**os.environ, **control.ENVIRONMENT, **quiet}).returncode
    except KeyboardInterrupt:  # its process was interrupted too
        return 1


def _check_output(path: Path, suffixes: tuple[str, ...], option: str = "--output") -> None:
    if path.suffix not in suffixes:
        raise ValueError(f"{option} must end in {' or '.join(suffixes)}, got {path}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{option} must lie in a folder that exists, got {path}")


def _on(bar: tqdm) -> Callable[[int, int], None]:
    def progress(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return progress


if __name__ == "__main__":
    sys.exit(main())

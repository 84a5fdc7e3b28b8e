"""Every file of an experiment's folder and of a run's, each named once. Beside a `.safetensors` lie its values as `.json`.

Imports nothing of Duet: a screen asks here before it has loaded the rest. Paths are the handles' (`store`).
"""

import os

# of an experiment
EXPERIMENT = "experiment.json"  # its config
MANIFEST = "manifest.parquet"  # its samples and their split
RANDOM_SPLIT = "manifest-random-split.parquet"  # the same in a split that ignores groups
REPEATED = "manifest-split-{}.parquet"  # the same in a further split, 1, 2, …, where splits are repeated
OPENINGS = "openings.jsonl"  # each look at the test set
SELECTIONS = "selections.json"
SELECTIONS_LOCK = ".selections.lock"
VERDICT = "verdict.json"
REPORT = "report.html"
WORKER = "worker.json"  # the process at work
WORKER_LOG = "worker.log"  # of a run too
WORKER_LOCK = ".worker.lock"
SERIES_LOCK = ".series.lock"
LOCK = ".lock"  # held while its worker is started or ended
RESERVE = ".reserve"  # room for the last words of a run that found the disk full
TRACES = (EXPERIMENT, MANIFEST)  # by which a folder is an experiment, whole or damaged

# of a run
RUN = "run.json"  # its config
STATE = "state.json"
STOP = "stop"  # there while someone asks the run to stop
SNAPSHOTS = "snapshots"  # a folder: the film, a table a frame
TENSORBOARD = "tensorboard"  # a folder
RECORDS = "records.jsonl"  # a line an epoch
ALARMS = "alarms.jsonl"
TRIALS = "trials.json"  # learning rates tried
LAST = "last.safetensors"  # where training goes on from
PREVIOUS = "previous.safetensors"  # the one before, should the last be damaged
BEST = "best.safetensors"  # the encoder of the best epoch
BEST_VALUES = "best.json"  # what it is, to read without its weights
HEAD = "head.safetensors"  # what its loss had on top
EMBEDDINGS = "embeddings.parquet"
SCORES = "scores.parquet"  # every metric of every test image
OPEN_SCORES = "open_scores.parquet"  # of every image of the held-out classes
EVALUATION = "evaluation.json"
READOUTS = "readouts.json"
THRESHOLDS = "thresholds.parquet"  # same or not, known or unknown


def is_experiment(folder: str) -> bool:
    """Whether a folder is an experiment, whole or damaged, by what lies in it."""
    return any(os.path.lexists(f"{folder}/{name}") for name in TRACES)

"""Killed at any moment of any work, an experiment goes on to the very numbers of one that never was, and leaves nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from core.experiments.handles import Experiment
from tests import kill_moments
from tests.conftest import PROJECT
from tests.lasting import assert_same_numbers

SEED = 20_261_128  # of the random moments


@pytest.mark.parametrize("n_kills", [7, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_moments_of_all_work_nothing_differs_and_nothing_is_left(n_kills: int, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    code = "import sys\nfrom pathlib import Path\nfrom tests import kill_moments\nkill_moments.whole(Path(sys.argv[1]))"
    for arguments in (["-c", code, str(tmp_path / "whole")],
                      ["-m", "tests.kill_moments", str(tmp_path / "killed"), str(SEED), str(n_kills)]):
        result = subprocess.run([sys.executable, "-W", "ignore", *arguments], cwd=PROJECT, capture_output=True, text=True,
                                env={**os.environ, "OMP_NUM_THREADS": "1"})
        assert result.returncode == 0, result.stderr[-3000:]
    kills = [json.loads(line) for line in result.stdout.splitlines()]
    assert [kill["stage"] for kill in kills] == [kill_moments.STAGES[number % 7] for number in range(n_kills)]
    print(sum(kill["is_killed"] for kill in kills), "of", n_kills, "lives were killed before they ended")
    assert sum(kill["is_killed"] for kill in kills) >= 0.9 * n_kills  # a machine may do a stage before it is struck
    killed, whole = (tmp_path / name / "checkpoints" / "tiny" for name in ("killed", "whole"))
    assert_same_numbers(killed, whole)
    assert {run.status.state for run in Experiment(killed).runs} == {"completed"}
    mine, its = (pq.read_table(tmp_path / name / "out" / "run.parquet") for name in ("killed", "whole"))
    assert mine.replace_schema_metadata().equals(its.replace_schema_metadata())

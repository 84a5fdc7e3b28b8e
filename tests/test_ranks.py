"""Two processes that share each batch: the same training as one alone, over torch's own launcher."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from core.training.ranks import Ranks

PROJECT = Path(__file__).resolve().parents[1]

TRAIN = """
import json, sys
from pathlib import Path
import numpy as np
import torch
from core import config as configuration
from core.config import EncoderConfig
from core.training import encoder, objectives
from core.training.ranks import joined
from core.training.trainer import Trainer
torch.set_num_threads(1)
objective, micro = json.loads(sys.argv[1]), json.loads(sys.argv[2])
experiment = configuration.parse({
    "name": "ranks", "dataset": {"source": "digits"}, "objectives": [objective], "seeds": [0],
    "budget": {"images": 20 * 30, "epochs": 20},
    "training": {"batch": {"classes": 5, "samples": 6}, "lr": 1e-3, "micro_batch": micro}})
run = next(run for run in experiment.runs() if run.is_trained)
label_id = np.repeat(np.arange(5, dtype=np.int32), 20)
device = torch.device("cpu")
with joined(device) as ranks:
    module, data = encoder.build(EncoderConfig(name="test_convnext", image_size=32), seed=0)
    size = data.storage_size
    pixels = np.random.default_rng(0).integers(0, 256, (100, size, size, 3), dtype=np.uint8)
    head = objectives.build(run.objective, encoder.feature_width(module, data), 5, run.images_per_step, 0)
    trainer = Trainer(module, head, data, pixels, label_id, np.arange(100), run, device, ranks=ranks)
    losses = [record.loss for record in trainer.epochs(lambda: False)]
    total = sum(p.double().sum().item() for p in trainer.encoder.parameters())
    said = ranks.agree({"from": ranks.rank})
    found = {"rank": ranks.rank, "losses": losses, "total": total, "said": said}
    Path(__file__).with_name(f"{ranks.n}-{ranks.rank}.json").write_text(json.dumps(found))
"""


def train(n_processes: int, objective: object, micro_batch: int | None, folder: Path) -> list[dict]:
    """What each process found."""
    script = folder / "train.py"
    script.write_text(TRAIN)
    launcher = [] if n_processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_processes}"]
    result = subprocess.run([sys.executable, *launcher, str(script), json.dumps(objective), json.dumps(micro_batch)],
                            cwd=PROJECT, env=None, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return [json.loads((folder / f"{n_processes}-{rank}.json").read_text()) for rank in range(n_processes)]


@pytest.mark.parametrize("objective, micro_batch", [("supcon", None), ({"name": "triplet", "mining": "batch_hard"}, None),
                                                    ("classification", 4)])
def test_two_processes_follow_the_losses_of_one(objective: object, micro_batch: int | None, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    [alone] = train(1, objective, None, tmp_path)
    both = train(2, objective, micro_batch, tmp_path)
    assert len(set(alone["losses"])) == 20
    for found in both:
        np.testing.assert_allclose(found["losses"], alone["losses"], atol=1e-5, rtol=0)
        assert found["total"] == pytest.approx(alone["total"], abs=1e-3)
        assert found["said"] == {"from": 0}
    assert both[0]["losses"] == both[1]["losses"]


def test_shares_of_a_batch_cover_it_once() -> None:
    ranks = Ranks()
    for n in (1, 2, 3, 7):
        ranks.n = n
        rows = []
        for ranks.rank in range(n):
            rows += range(30)[ranks.share(30)]
        assert rows == list(range(30))


def test_one_process_alone_changes_nothing() -> None:
    part = torch.ones(3, 2, requires_grad=True)
    assert Ranks().gather(part, 3) is part
    assert Ranks().agree("x") == "x" and Ranks().is_first

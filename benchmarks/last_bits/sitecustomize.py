"""Python imports this by itself in whatever `benchmarks.same_verdict` starts: this folder is then on its PYTHONPATH.

A process that trains builds each encoder with first weights that differ in their last bits, as another machine's would.
"""

import os
import sys

if "LAST_BITS" in os.environ and "core.jobs.series" in sys.orig_argv:
    import torch

    from core.config import EncoderConfig
    from core.training import encoder
    from core.training.encoder import DataConfig

    DRAW, build = int(os.environ["LAST_BITS"]), encoder.build

    def build_other_bits(config: EncoderConfig, seed: int) -> tuple[torch.nn.Module, DataConfig]:
        """The encoder with each weight times 1 + 10⁻⁶ z, z normal: about eight steps of float32."""
        module, data_config = build(config, seed)
        generator = torch.Generator().manual_seed(1_000_003 * DRAW + seed)
        with torch.no_grad():
            for weight in module.parameters():
                weight.mul_(1 + 1e-6 * torch.randn(weight.shape, generator=generator))
        return module, data_config

    encoder.build = build_other_bits

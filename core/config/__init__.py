"""What an experiment is: settings that cannot change, each checked as it is read and refused in one sentence."""

from core.config.dataset import DatasetConfig, SplitConfig
from core.config.encoder import EncoderConfig
from core.config.evaluation import EvaluationConfig
from core.config.experiment import ExperimentConfig
from core.config.names import LEAKY_SAMPLER, RANDOM_SPLIT, arm_label, arm_title, check_name
from core.config.parsing import parse, parse_dataset, parse_run
from core.config.run import RunConfig
from core.config.training import AugmentationConfig, BatchConfig, BudgetConfig, TrainingConfig, TuningConfig
from core.errors import ConfigError

__all__ = [
    "LEAKY_SAMPLER", "RANDOM_SPLIT", "AugmentationConfig", "BatchConfig", "BudgetConfig", "ConfigError", "DatasetConfig",
    "EncoderConfig", "EvaluationConfig", "ExperimentConfig", "RunConfig", "SplitConfig", "TrainingConfig", "TuningConfig",
    "arm_label", "arm_title", "check_name", "parse", "parse_dataset", "parse_run",
]

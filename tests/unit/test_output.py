"""Where commands may write."""

import pytest

from core.cli import output
from core.errors import InputError


def test_an_output_that_is_a_folder_is_refused_before_any_work(tmp_path):
    (tmp_path / "space.parquet").mkdir()
    with pytest.raises(InputError, match="--output must be a file, got the folder "):
        output.check_output(tmp_path / "space.parquet", (".parquet",))

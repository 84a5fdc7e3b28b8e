"""Named selections: kept whole, safely named, by many windows at once; and the rows of a table they hold."""

import csv
import io
import threading

import numpy as np
import pytest

from core.analysis import table as tables
from core.errors import ConfigError
from core.experiments import selections
from core.experiments.handles import Experiment
from tests.unit.test_table import small


def test_what_is_saved_is_read_in_order(tmp_path):
    assert selections.read(Experiment(tmp_path)) == {}
    selections.save(Experiment(tmp_path), "second", ["b", "a"])
    selections.save(Experiment(tmp_path), "first", ["c"])
    assert list(selections.read(Experiment(tmp_path)).items()) == [("second", ["b", "a"]), ("first", ["c"])]
    selections.save(Experiment(tmp_path), "second", ["d"])
    assert selections.read(Experiment(tmp_path)) == {"second": ["d"], "first": ["c"]}


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "ä", "x" * 65, "a b", "a\n"])
def test_a_name_that_could_not_be_a_file_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="a name must be"):
        selections.save(Experiment(tmp_path), name, ["a"])
    assert list(tmp_path.iterdir()) == []


def test_nothing_cannot_be_saved(tmp_path):
    with pytest.raises(ValueError, match="at least one sample, got none"):
        selections.save(Experiment(tmp_path), "none", [])


def test_renaming_keeps_place_and_content(tmp_path):
    for name in ("one", "two", "three"):
        selections.save(Experiment(tmp_path), name, [name])
    selections.rename(Experiment(tmp_path), "two", "zwei")
    assert list(selections.read(Experiment(tmp_path)).items()) == [("one", ["one"]), ("zwei", ["two"]), ("three", ["three"])]
    with pytest.raises(ValueError, match="new name must be free, got 'one'"):
        selections.rename(Experiment(tmp_path), "three", "one")
    with pytest.raises(ValueError, match="one of one, zwei, three, got 'two'"):
        selections.rename(Experiment(tmp_path), "two", "2")
    with pytest.raises(ConfigError):
        selections.rename(Experiment(tmp_path), "one", "../one")
    assert list(selections.read(Experiment(tmp_path))) == ["one", "zwei", "three"]


def test_deleting_what_is_gone_is_no_error(tmp_path):
    selections.save(Experiment(tmp_path), "one", ["a"])
    selections.delete(Experiment(tmp_path), "one")
    selections.delete(Experiment(tmp_path), "one")
    assert selections.read(Experiment(tmp_path)) == {}


def test_windows_that_save_at_once_lose_nothing(tmp_path):
    threads = [threading.Thread(target=selections.save, args=(Experiment(tmp_path), f"s{number}", [str(number)]))
               for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert selections.read(Experiment(tmp_path)) == {f"s{number}": [str(number)] for number in range(16)}


def test_a_file_of_a_selection_is_a_verified_table_of_its_rows(tmp_path):
    table = small()
    wanted = [table.sample_id[3], table.sample_id[1], "gone"]
    path = tmp_path / "part.parquet"
    path.write_bytes(selections.to_parquet(table, wanted))
    part = tables.read(path)  # refuses what was changed after it was written
    assert part.sample_id.tolist() == [table.sample_id[1], table.sample_id[3]]
    assert np.array_equal(part.embedding, table.embedding[[1, 3]])
    assert part.label.tolist() == table.label[[1, 3]].tolist() and part.classes == table.classes
    assert part.metadata["selection"] == {"n_samples": 2, "of": len(table)}


def test_the_list_of_a_selection_has_a_line_a_sample():
    table = small()
    lines = list(csv.reader(io.StringIO(selections.to_csv(table, table.sample_id[:2].tolist()).decode())))
    assert lines[0] == ["sample_id", "label", "split", "group"]
    assert [line[0] for line in lines[1:]] == table.sample_id[:2].tolist()
    assert [line[1] for line in lines[1:]] == table.label[:2].tolist()


def test_a_selection_of_another_experiment_is_refused():
    with pytest.raises(ValueError, match="samples in the table, got 2 that are not"):
        selections.subset(small(), ["x", "y"])

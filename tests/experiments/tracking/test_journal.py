"""The file that holds everything: written in order, cut at its last whole line, read while it grows."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.tracking.journal import FILE_NAME, Journal, count_lines, read_metrics, read_records, whole_size
from experiments.tracking.records import (
    Artifact,
    DatasetInput,
    Ended,
    Metrics,
    Opened,
    Params,
    Record,
    Tags,
    decode,
    encode,
)

RECORDS: list[Record] = [
    Opened(1.5, "k", "name", "experiment", 1, "7@host"),
    Params(1.5, {"optimizer.lr": "0.1", "text": 'é"\n' * 5000}),
    Tags(2.0, {"kept": "x", "taken away": None}),
    Metrics(2.25, 7, {"val/top1_error": 1 / 3, "loss": 1e-300}),
    Artifact(3.0, "pictures/a.png", "pictures"),
    DatasetInput(3.5, "digits", "d" * 64, "train", "{}", None, "{}"),
    Ended(4.0, "FAILED", "why"),
]


def _write(path: Path, records: list[Record]) -> None:
    journal = Journal(path)
    for record in records:
        journal.append(encode(record))
    journal.close()


def test_every_kind_of_record_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    _write(path, RECORDS)

    back = list(read_records(path))

    assert [record for _, record in back] == RECORDS
    assert back[-1][0] == path.stat().st_size
    assert [record for _, record in read_records(path, back[2][0])] == RECORDS[3:]
    assert count_lines(path, back[2][0]) == 4


def test_numbers_that_json_does_not_know_survive_in_valid_json() -> None:
    line = encode(Metrics(0.0, 1, {"a": math.nan, "b": math.inf, "c": -math.inf}))

    back = decode(line)

    assert b"NaN," not in line.replace(b'"NaN"', b"")
    assert isinstance(back, Metrics)
    assert math.isnan(back.values["a"])
    assert (back.values["b"], back.values["c"]) == (math.inf, -math.inf)


def test_a_half_written_last_line_is_cut_off_when_the_journal_is_opened_again(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    _write(path, RECORDS[:4])
    whole = path.stat().st_size
    with path.open("ab") as file:
        file.write(encode(RECORDS[4])[:-5])

    assert [record for _, record in read_records(path)] == RECORDS[:4]
    assert whole_size(path) == whole
    _write(path, [RECORDS[5]])

    assert [record for _, record in read_records(path)] == [*RECORDS[:4], RECORDS[5]]


def test_a_damaged_line_is_skipped_and_positions_stay_right(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(
        encode(RECORDS[0]) + b'\x00\x00{"kind":\n' + b'{"kind":"of the future"}\n' + b"[]\n" + encode(RECORDS[3])
    )

    back = list(read_records(path))

    assert [record for _, record in back] == [RECORDS[0], RECORDS[3]]
    assert back[-1][0] == path.stat().st_size


FULL_DISK = """
import resource, sys
from pathlib import Path
from experiments.tracking.journal import Journal, read_records
from experiments.tracking.records import Tags, encode
path = Path(sys.argv[1])
journal = Journal(path)
journal.append(encode(Tags(0.0, {"first": "x"})))
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (journal.size + 100, hard))
second = encode(Tags(0.0, {"second": "y" * 1000}))
try:
    journal.append(second)
except OSError:
    print("refused at", path.stat().st_size == journal.size)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
journal.append(second)
print(len(list(read_records(path))))
"""


def test_a_write_that_the_file_system_refuses_half_way_leaves_no_trace_and_can_be_repeated(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path / FILE_NAME)], capture_output=True, text=True, check=True
    )

    assert done.stdout.split("\n")[:2] == ["refused at True", "2"]


def test_metrics_are_read_as_a_table(tmp_path: Path) -> None:
    _write(tmp_path / FILE_NAME, [*RECORDS[:4], Metrics(9.0, 8, {"loss": math.inf})])

    table = read_metrics(tmp_path)

    assert list(table.columns) == ["key", "step", "value", "time"]
    assert list(table["key"]) == ["val/top1_error", "loss", "loss"]
    assert list(table["step"]) == [7, 7, 8]
    assert list(table["value"]) == [1 / 3, 1e-300, math.inf]
    assert list(table["time"]) == [2.25, 2.25, 9.0]


def test_a_folder_without_a_journal_is_a_clear_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no run was recorded here"):
        read_metrics(tmp_path)

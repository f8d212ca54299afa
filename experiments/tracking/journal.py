"""The append-only file that holds everything a run recorded, whatever becomes of the process or the tracking server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from experiments.errors import UserError
from experiments.tracking.records import Metrics, Record, decode

if TYPE_CHECKING:
    import pandas as pd

FILE_NAME = "journal.jsonl"
_CHUNK_BYTES = 1 << 20


class Journal:
    """The writing end of a journal. Opening it cuts off what a crash left half written.

    A write that fails (a full disk) leaves no trace in the file, so the same lines can be appended again later.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self.size = _whole_bytes(path)
            os.ftruncate(self._file, self.size)
        except OSError:
            os.close(self._file)
            raise

    def append(self, lines: bytes) -> None:
        """Write whole lines at the end.

        Raises:
            OSError: the file system refused; nothing was appended.
        """
        try:
            written = 0
            while written < len(lines):
                written += os.pwrite(self._file, lines[written:], self.size + written)
        except OSError:
            os.ftruncate(self._file, self.size)
            raise
        self.size += len(lines)

    def sync(self) -> None:
        """Wait until the disk has it all: what survives a power cut, not only a killed process."""
        os.fsync(self._file)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def read_records(path: Path, start: int = 0) -> Iterator[tuple[int, Record]]:
    """The records from byte ``start`` on, each with the offset of the byte after it.

    A last line without its newline is still being written, or was never finished: it is left out. A damaged line is
    skipped.
    """
    with path.open("rb") as file:
        file.seek(start)
        offset = start
        for line in _lines(file):
            offset += len(line)
            record = decode(line)
            if record is not None:
                yield offset, record


def read_metrics(run_dir: Path) -> "pd.DataFrame":
    """Everything that a run measured, in the order in which it was recorded; a living run may be read too.

    Returns:
        Columns ``key`` (str), ``step`` (int), ``value`` (float, NaN and infinities included), ``time`` (seconds since
        the epoch).

    Raises:
        UserError: the directory holds no journal.
    """
    import pandas as pd  # noqa: PLC0415 - half a second that recording never needs

    journal = run_dir / FILE_NAME
    if not journal.exists():
        raise UserError(f"{run_dir}: no run was recorded here ({FILE_NAME} is missing)")
    metrics = (record for _, record in read_records(journal) if isinstance(record, Metrics))
    rows = [(key, one.step, value, one.time) for one in metrics for key, value in dict(one.values).items()]
    table = pd.DataFrame(rows, columns=["key", "step", "value", "time"])
    return table.astype({"key": str, "step": "int64", "value": "float64", "time": "float64"})


def count_lines(path: Path, start: int = 0) -> int:
    """How many whole lines follow byte ``start``."""
    with path.open("rb") as file:
        file.seek(start)
        return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(_CHUNK_BYTES), b""))


def whole_size(path: Path) -> int:
    """Bytes up to the last newline; 0 where there is no journal."""
    try:
        return _whole_bytes(path)
    except FileNotFoundError:
        return 0


def _lines(file: BinaryIO) -> Iterator[bytes]:
    for line in file:
        # The rest of a half-written line may arrive while this is read: it must not be taken for a line of its own.
        if not line.endswith(b"\n"):
            return
        yield line


def _whole_bytes(path: Path) -> int:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - _CHUNK_BYTES)
            file.seek(begin)
            newline = file.read(end - begin).rfind(b"\n")
            if newline >= 0:
                return begin + newline + 1
            end = begin
    return 0

"""How the processes of a run ended: each writes it down, and what ended the first of them is what ended the run."""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from experiments.runs.result import Status

FOLDER = "endings"


@dataclass(frozen=True)
class Ending:
    """How one process of a run ended before the run was complete.

    `time` is in seconds since the epoch; `signal_number` is that of the signal that stopped it; `mistake` says that
    nothing was run, because what was asked cannot be; `crashed` that it may go well the next time.
    """

    rank: int
    status: Status
    reason: str
    time: float
    signal_number: int | None = None
    mistake: bool = False
    crashed: bool = False


class Endings:
    """The endings of the processes that run one session of a run.

    Args:
        run_dir: of the run; all processes must see it.
        session: tells these processes from those of other sessions.
    """

    def __init__(self, run_dir: Path, session: str) -> None:
        self.session = session
        self._folder = run_dir / FOLDER

    def write(self, ending: Ending) -> None:
        """Write down how this process ended, whole or not at all. Call it before it leaves the others alone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self.session}-{ending.rank}.json"
        fresh = path.with_suffix(".new")
        fresh.write_text(json.dumps(asdict(ending)) + "\n", encoding="utf-8")
        fresh.replace(path)

    def first(self) -> Ending | None:
        """Return the ending that the others followed from; `None` when none was written."""
        return _first(self._files())

    def forget(self) -> None:
        """Remove what the processes of this session have written."""
        _remove(self._folder, self._files())

    def forget_others(self) -> None:
        """Remove what earlier sessions have left; call it where no other session can be."""
        _remove(self._folder, sorted(set(self._folder.glob("*.json")) - set(self._files())))

    def _files(self) -> list[Path]:
        return sorted(self._folder.glob(f"{self.session}-*.json"))


def left(run_dir: Path) -> Ending | None:
    """Return the ending that processes wrote down, and died before one of them recorded it; `None` without any.

    A session removes what others left (`Endings.forget_others`), and in its end its own.
    """
    try:
        return _first((run_dir / FOLDER).glob("*.json"))
    except (OSError, ValueError, TypeError):
        return None


def _first(files: Iterable[Path]) -> Ending | None:
    endings = [Ending(**json.loads(path.read_text(encoding="utf-8"))) for path in files]
    return min(endings, key=lambda ending: ending.time, default=None)


def _remove(folder: Path, files: list[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)
    # What is not empty stays.
    with contextlib.suppress(OSError):
        folder.rmdir()

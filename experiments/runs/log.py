"""The log of a run: what is logged while it is executed, warnings included, in a file beside it."""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from experiments.tracking.credentials import masked

LOG_FILE = "log.txt"
LOGGED = ("experiments", "datamodules", "lightning_modules", "pytorch_lightning", "py.warnings")
LAST_LINES = 20
_LONGEST_LINE = 400  # characters that a line may have on average, of those that are read


class _MaskedFormatter(logging.Formatter):
    """Writes no passwords, whoever logs them."""

    def format(self, record: logging.LogRecord) -> str:
        return masked(super().format(record))


@contextlib.contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Keep what is logged, warnings included, in a file of the run."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(_MaskedFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in LOGGED]
    logging.captureWarnings(capture=True)
    for logger in loggers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
        handler.close()
        logging.captureWarnings(capture=False)


def last_lines(path: Path, count: int = LAST_LINES) -> str:
    """Return the last lines of a log, however long it is; nothing where there is none."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - count * _LONGEST_LINE))
        lines = file.read().decode("utf-8", errors="replace").splitlines()
        return masked("\n".join(lines[-count:]))
    return ""

"""The record of a run whose process died without a word, written by another process."""

import json
import time
from pathlib import Path

from omegaconf import OmegaConf

from experiments.errors import UserError
from experiments.runs.configuration import load
from experiments.runs.place import tracking_options
from experiments.runs.record import CONFIG_FILE, DATA_FILE, IDENTITY_FILE
from experiments.runs.result import RunResult, Status
from experiments.runs.settle import settle
from experiments.tracking.card import read_card
from experiments.tracking.leftovers import end_left_run
from experiments.tracking.locks import is_locked

# Processes that the dead one had started notice a little later than anybody else, and hold the run until they do.
HELD_SECONDS = 5.0


def end_crashed(run_dir: Path, status: Status, reason: str) -> RunResult | None:
    """Record how a run ended whose process could not say so any more.

    Returns:
        Its result, which is also written beside it; `None` where the run had not begun to be recorded, or somebody else
        goes on with it.
    """
    deadline = time.monotonic() + HELD_SECONDS
    while is_locked(run_dir):
        if time.monotonic() > deadline:
            return None
        time.sleep(0.1)
    try:
        cfg = load(run_dir / CONFIG_FILE)
        before, card = RunResult.read(run_dir), read_card(run_dir)
        # A result beside a record without an end is of the process that died, whatever it says.
        if before is not None and (before.status == "FINISHED" or (card is not None and card.status == "RUNNING")):
            return settle(before, tracking_options(cfg))
        identity = json.loads((run_dir / IDENTITY_FILE).read_text(encoding="utf-8"))["identity"]
        spec = json.loads((run_dir / DATA_FILE).read_text(encoding="utf-8"))["spec"]
    except (UserError, OSError, ValueError, KeyError):
        return None
    card = end_left_run(run_dir, tracking_options(cfg), status, reason)
    result = RunResult(
        run_dir=run_dir,
        run_id=None if card is None else card.run_id,
        identity=identity,
        name=run_dir.name,
        status=status,
        seed=int(cfg.seed),
        choices={str(group): str(option) for group, option in OmegaConf.select(cfg, "choices", default={}).items()},
        input_shape=(spec["channels"], spec["image_size"], spec["image_size"]),
        reason=reason,
    )
    result.write()
    return result

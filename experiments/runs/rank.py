"""One of several processes of a run: `python -m experiments.runs.rank RUN_DIR`, started by `processes.launch`."""

import sys
from pathlib import Path

from experiments.runs.build import assemble
from experiments.runs.callbacks import RunFailed, RunKilled
from experiments.runs.chatter import quiet
from experiments.runs.configuration import load
from experiments.runs.execute import run_here
from experiments.runs.identity import identify
from experiments.runs.record import CONFIG_FILE
from experiments.tracking.credentials import is_masked


def main(run_dir: Path) -> int:
    """Train the run in `run_dir` as the process that the environment names; return the exit code."""
    cfg = load(run_dir / CONFIG_FILE)
    if cfg.tracking.uri and is_masked(cfg.tracking.uri):
        # The process that started this one gives it in the environment.
        cfg.tracking.uri = None
    assembly = assemble(cfg)
    try:
        run_here(run_dir, assembly, identify(cfg, assembly.datamodule.digest), progress=True)
    except RunKilled as killed:
        return 128 + killed.signal_number
    except RunFailed as failed:
        print(f"{run_dir.name}: {failed}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    quiet()
    sys.exit(main(Path(sys.argv[1])))

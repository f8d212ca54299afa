"""One of several processes of a run, started by `launch`: `python -m experiments.runs.rank PARENT_PID < ORDER`."""

import json
import os
import sys
import threading
import time

from experiments.runs.order import Order

WATCH_SECONDS = 0.2
LATER_SECONDS = 1.0


def main(order: Order) -> int:
    """Train what `order` says (see `launch`), as the process that the environment names; return the exit code."""
    from pathlib import Path  # noqa: PLC0415 - the parent is watched before all that takes long to import

    from omegaconf import OmegaConf  # noqa: PLC0415

    from experiments.errors import UserError  # noqa: PLC0415
    from experiments.runs.build import assemble  # noqa: PLC0415
    from experiments.runs.callbacks import RunFailed, RunKilled  # noqa: PLC0415
    from experiments.runs.causes import ending_of  # noqa: PLC0415
    from experiments.runs.chatter import quiet  # noqa: PLC0415
    from experiments.runs.endings import Endings  # noqa: PLC0415
    from experiments.runs.execute import identity_of  # noqa: PLC0415
    from experiments.runs.label import Label  # noqa: PLC0415
    from experiments.runs.session import run_here  # noqa: PLC0415

    quiet()
    run_dir, cfg = Path(order["run_dir"]), OmegaConf.create(order["config"])
    endings = Endings(run_dir, order["session"])
    try:
        assembly = assemble(cfg)
        run_here(
            run_dir,
            assembly,
            identity_of(assembly),
            progress=order["progress"],
            heartbeat=None if order["heartbeat"] is None else Path(order["heartbeat"]),
            command=order["command"],
            endings=endings,
            label=Label(order["name"], order["tags"]),
        )
    except RunKilled as killed:
        return 128 + killed.signal_number
    except RunFailed:
        return 1
    except UserError as error:
        # The launcher says it.
        endings.write(ending_of(error))
        return 2
    return 0


def end_with(parent: int) -> None:
    """End this process soon after `parent` has ended, however that ended: nobody would wait for it any more."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        if os.environ["LOCAL_RANK"] != "0":
            # The one that records goes first, or it would record the end of the others as a failure.
            time.sleep(LATER_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="whydeep-watchdog", daemon=True).start()


if __name__ == "__main__":
    end_with(int(sys.argv[1]))
    sys.exit(main(json.load(sys.stdin)))

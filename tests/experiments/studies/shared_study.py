"""One of two studies that share a run, as a process: `python -m tests.experiments.studies.shared_study NAME`.

It plans, says `ready`, waits for a line, and runs; it prints each replicate as `arm seed status run_id`. That called
`one` says `training` when it begins its first run, and trains it after another line.
"""

import sys
from pathlib import Path
from typing import Any
from unittest import mock

from experiments.runs import session
from experiments.runs.chatter import quiet
from experiments.runs.training import Outcome, train
from experiments.studies.conduct import Conduct
from experiments.studies.execution_options import ExecutionOptions
from experiments.studies.prepared import prepare
from experiments.studies.study import checked

# Both have `shared`, under the same settings; each has another arm to compare it with.
OWN = {"one": "model.network.widths=[4,4]", "other": "model.network.widths=[6,6]"}
COMMON = [
    "model=conv5x5",
    "datamodule=digits",
    "datamodule.image_size=8",
    "datamodule.few_samples=4",
    "effective_field_images=0",
    "trainer.max_epochs=2",
]


def told_to_go_on(state: str) -> None:
    print(state, flush=True)
    sys.stdin.readline()


def main(name: str) -> int:
    quiet()
    arms = {
        "shared": {"overrides": ["model.network.widths=[8,8]"], "role": "baseline"},
        "own": {"overrides": [OWN[name]]},
    }
    asked = {"question": "Which?", "arms": arms, "seeds": 1, "metric": "test/top1_error", "overrides": COMMON}
    study, overrides = checked(asked, ""), [f"runs_dir={Path.cwd() / 'runs'}"]
    conduct = Conduct(study, prepare(study, name, overrides), name, "laptop", overrides, ["whydeep", "study"])
    told_to_go_on("ready")
    if name == "one":
        patcher = mock.patch.object(session, "train")

        def later(*arguments: Any, **named: Any) -> Outcome:  # noqa: ANN401
            patcher.stop()
            told_to_go_on("training")
            return train(*arguments, **named)

        patcher.start().side_effect = later
    answer = conduct.run(ExecutionOptions("here", 1))
    for run in answer.gathered.comparison.replicates:
        print(run.arm, run.seed, run.status, run.result.run_id if run.result else None, flush=True)
    return 0 if answer.complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

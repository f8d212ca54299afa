"""What a run records before its first step, whatever becomes of it then."""

import json
import subprocess
import sys
from pathlib import Path

import mlflow

from experiments.sync import main as sync
from experiments.tracking.charts import CURVES, DEPTH, ERROR, MACS, PARAMETERS, RECEPTIVE_FIELD
from experiments.tracking.journal import read_metrics
from tests.experiments.conftest import TOY, Whydeep, environment

# A journal that nobody asks to be written is not, and the first step is the last.
KILLED_IN_ITS_FIRST_STEP = """
import os, signal, sys
from experiments.tracking import writer
from lightning_modules.classification import ClassificationModule

writer._INTERVAL_SECONDS = 3600
ClassificationModule.training_step = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

from experiments.cli import main

sys.argv = ["whydeep", "train", *sys.argv[1:]]
main()
"""


def test_a_run_that_is_killed_in_its_first_step_has_its_measures_as_metrics(whydeep: Whydeep, tmp_path: Path) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_IN_ITS_FIRST_STEP, *TOY],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=False,
        timeout=240,
    )
    assert killed.returncode == -9, killed.stderr.decode()
    (run_dir,) = (path.parent for path in (tmp_path / "runs").glob("*/config.yaml"))
    journal = read_metrics(run_dir)
    measures = json.loads((run_dir / "measures.json").read_text())
    recorded = dict(zip(journal["key"], journal["value"], strict=True))
    assert recorded["measure/parameters"] == measures["parameters"]
    assert {DEPTH, PARAMETERS, RECEPTIVE_FIELD, MACS} <= recorded.keys()
    assert recorded["measure/padding"] == max(measures["field"]["padding"])
    assert recorded["measure/visible_field"] == max(last - first + 1 for first, last in measures["field"]["visible"])
    assert recorded["measure/aligned"] == float(all(measures["field"]["aligned"]))
    assert all(key.startswith(("measure/", "initial/")) for key in recorded)
    assert set(journal["step"]) == {0}

    assert sync([f"runs_dir={tmp_path / 'runs'}"]) == 0
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("whydeep")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    assert run.data.metrics == recorded
    # How the receptive field is known, which no number says.
    assert run.data.tags["whydeep.receptive_field_status"] == measures["field"]["status"] == "exact"
    assert run.data.tags["whydeep.receptive_field_reason"] == "none"

    finished = whydeep("train", *TOY)
    assert finished.returncode == 0, finished.stderr
    metrics = client.get_run(run.info.run_id).data.metrics
    assert {ERROR, *CURVES} <= metrics.keys()
    assert {key: metrics[key] for key in recorded} == recorded

"""Recording must not slow a command's start, nor need Lightning."""

import subprocess
import sys

SCRIPT = """
import sys
import experiments.sync, experiments.ui
from experiments.tracking import card, journal, leftovers, lookup, options, tracker
heavy = {"mlflow", "torch", "pytorch_lightning", "pandas", "numpy", "hydra", "sqlalchemy", "requests"}
print(sorted(heavy & set(sys.modules)))
"""


def test_the_recording_side_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"

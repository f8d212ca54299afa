"""Imports what every run needs, for the process that workers are forked from; it neither computes nor starts threads.

A thread that exists when a process forks is missing in the child, with whatever it held.
"""

import contextlib
import importlib
import os

from experiments.runs.chatter import quiet

# Ctrl-C on a terminal is not for this process, which is no leader of its group unless whoever started it made it one.
with contextlib.suppress(OSError):
    os.setpgid(0, 0)
quiet()
# Set by the store as well, when it is first used; MLflow looks at it when it is imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
for module in ("experiments.runs.execute", "experiments.tracking.store", "mlflow", "matplotlib.figure"):
    importlib.import_module(module)

"""Recording runs: a journal beside each run, sent to MLflow in the background."""

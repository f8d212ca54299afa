"""How long a report of ten thousand replicates takes: `python -m experiments.benchmarks.large_study`.

The runs are not trained: rows of the size that real ones have are written straight into an SQLite store, with errors
drawn from normal distributions. What is timed, the report, reads them as it reads any other.
"""

NAME = "large"
EPOCHS = 10
START = 1_790_000_000_000  # milliseconds since the epoch
OTHER_PARAMS, OTHER_METRICS, OTHER_TAGS = 70, 35, 10  # of a real run that no report reads
CURVES = ("val/top1_error", "val/loss", "train/top1_error", "train/loss")
Row = tuple[object, ...]

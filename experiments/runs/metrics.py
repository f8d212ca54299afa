"""What every finished run tells of itself: see `training.Outcome.metrics`."""

# A top-5 error needs five classes.
METRICS = (
    *(f"{split}/{name}" for split in ("test", "val", "train") for name in ("top1_error", "top5_error", "loss")),
    "best/val_top1_error",
    "best/epoch",
    "time/train_seconds",
    "time/test_seconds",
    "spent/epochs",
    "spent/steps",
)

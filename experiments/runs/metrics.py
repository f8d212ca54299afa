"""What every finished run tells of itself, see `training.Outcome.metrics`; and what those tell that are probed."""

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
# Differences within one network: 0 means something, so that one arm alone can be claimed to be above or below it.
PROBED_DIFFERENCES = ("probe/texture_after_edge", "probe/shape_after_edge", "selectivity/early_less_late")
# Of runs with `probe_every`, see `measures.layer_record`.
PROBED_METRICS = (
    *(f"probe/{label}_{name}" for label in ("edge", "texture", "shape") for name in ("depth", "error")),
    *PROBED_DIFFERENCES,
)

"""What runs tell of themselves, by the names of their metrics."""

# Every finished run: see `training.Outcome.metrics`. A top-5 error needs five classes.
METRICS = (
    *(f"{split}/{name}" for split in ("test", "val", "train") for name in ("top1_error", "top5_error", "loss")),
    "best/val_top1_error",
    "best/epoch",
    "time/train_seconds",
    "time/test_seconds",
    "spent/epochs",
    "spent/steps",
)


def _before_and_after(*names: str) -> tuple[str, ...]:
    return tuple(f"{when}/{name}" for when in ("initial", "trained") for name in names)


# Differences within one network: 0 means something, so that one arm alone can be claimed to be above or below it.
PROBED_DIFFERENCES = ("probe/texture_after_edge", "probe/shape_after_edge", "selectivity/early_less_late")
# See `measures.layer_record`.
PROBED_METRICS = (
    *(f"probe/{label}_{name}" for label in ("edge", "texture", "shape") for name in ("depth", "error")),
    *PROBED_DIFFERENCES,
)
# What is looked at in the network, by the key that asks for it; 0 or false is not to. A network may lack some of it.
ON_REQUEST = {
    "effective_field_images": _before_and_after(
        "effective_receptive_field",
        "effective_receptive_field_ratio",
        "effective_receptive_field_standard_deviation",
        "effective_receptive_field_luo_size",
    ),
    "linearity_images": _before_and_after(
        "jacobian_variation", "affine_residual", "jacobian_rank", "joint_jacobian_rank"
    ),
    "gradient_flow_every": (
        *(
            f"gradient/{when}_{name}"
            for when in ("initial", "last")
            for name in ("first_to_last", "front_to_back", "first_layer_relative")
        ),
        "gradient/median_front_to_back",
    ),
    "latency_batch": (
        "time/latency_seconds",
        "time/latency_first_quartile_seconds",
        "time/latency_third_quartile_seconds",
    ),
    "probe_every": PROBED_METRICS,
    "initial_errors": ("initial/val_top1_error", "initial/val_top5_error", "initial/val_loss"),
}
# A network without convolutions has none.
SELECTIVITY = _before_and_after("first_layer_orientation_selectivity")
# All that a study can be judged by.
RECORDED = (*METRICS, *SELECTIVITY, *(name for names in ON_REQUEST.values() for name in names))


def key_of(metric: str) -> str | None:
    """Return the key of the configuration that has a metric recorded; None where no key is needed."""
    return next((key for key, names in ON_REQUEST.items() if metric in names), None)

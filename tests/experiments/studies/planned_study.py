"""A study of two small arms, to be planned."""

from experiments.studies.study import Study, checked

COMMON = ["datamodule=digits", "datamodule.image_size=8", "optimizer.lr=0.05", "trainer.max_epochs=2"]
ARMS = {
    "wide": {"overrides": ["model=conv5x5", "model.network.widths=[8,8]"], "role": "baseline"},
    "stacked": {"overrides": ["model=two_conv3x3", "model.network.widths=[8,8]"]},
}


def study(**fields: object) -> Study:
    given = {"question": "Which?", "arms": ARMS, "seeds": 2, "metric": "test/top1_error", "overrides": COMMON}
    return checked({**given, **fields}, "")

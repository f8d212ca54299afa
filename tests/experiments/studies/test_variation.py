"""Which executions of a study share their results: all that compute the same."""

from experiments.studies.variation import Variation


def test_a_study_as_it_is_written_is_called_by_its_name() -> None:
    plain = Variation.of("depth", "laptop", ["runs_dir=elsewhere", "trainer.devices=2", "tracking=server"])
    assert (plain.title, plain.slug) == ("depth", "depth")


def test_what_computes_something_else_is_named_whatever_its_order() -> None:
    one = Variation.of("depth", "toy", ["optimizer.lr=0.1", "datamodule=cifar10"])
    assert one == Variation.of("depth", "toy", ["datamodule=cifar10", "runs_dir=r", "optimizer.lr=0.1"])
    assert one.title == "depth (scale=toy, datamodule=cifar10, optimizer.lr=0.1)"
    assert one.slug.startswith("depth-scale=toy,-datamodule=cifar10,-optimizer.lr=0.1-")


def test_folders_are_told_apart_though_their_names_look_alike() -> None:
    slugs = {Variation.of("depth", "laptop", [f"model.weights={text}"]).slug for text in ("a b", "a/b", "a:b")}
    assert len(slugs) == 3
    long = {Variation.of("depth", "laptop", [f"model.weights={'x' * 300}{end}"]).slug for end in "ab"}
    assert len(long) == 2
    assert max(map(len, long)) < 120

"""What differs between a record and now is named in the order of the ingredients."""

from dataclasses import replace

from omegaconf import DictConfig, OmegaConf

from experiments.runs.ingredients import Difference, Ingredients, differences

SESSION = {
    "python": "3.11.9",
    "packages": {"torch": "2.15.0", "ruff": "0.9.0", "numpy": "2.4.0"},
    "processor": "one",
    "cores": 2,
    "threads": 2,
    "accelerators": [],
    "platform": "Linux",
}


def config(**changes: object) -> DictConfig:
    content = {
        "seed": 0,
        "runs_dir": "runs",
        "datamodule": {"seed": 0, "batch_size": 128},
        "optimizer": {"weight_decay": 0.0001},
        "augmentation": {"transforms": [{"p": 0.5}]},
        "trainer": {"devices": 1, "max_epochs": 2},
    }
    cfg = OmegaConf.create(content)
    for key, value in changes.items():
        OmegaConf.update(cfg, key.replace("__", "."), value)
    return cfg


def recorded() -> Ingredients:
    code = {"lightning_modules.networks.vgg": "a" * 64, "experiments.runs": "b" * 64}
    return Ingredients(config(), code, "d" * 64, "s" * 64, "c" * 64, (SESSION,))


def test_nothing_differs_from_itself() -> None:
    assert differences(recorded(), recorded()) == ()


def test_the_order_is_code_data_packages_hardware_configuration() -> None:
    session = SESSION | {"packages": {"torch": "2.14.0", "ruff": "0.8.0"}, "threads": 1, "accelerators": ["H100"]}
    now = Ingredients(
        config(optimizer__weight_decay=0.001, trainer__devices=2, runs_dir="elsewhere"),
        {"lightning_modules.networks.vgg": "e" * 64, "experiments.runs": "b" * 64},
        "d" * 64,
        "x" * 64,
        "f" * 64,
        (session,),
    )
    assert list(map(str, differences(recorded(), now))) == [
        "code: lightning_modules/networks/vgg.py aaaaaaaaaa → eeeeeeeeee",
        "data: split ssssssssss → xxxxxxxxxx",
        "packages: torch 2.15.0 → 2.14.0",
        "packages: numpy 2.4.0 → nothing",
        "packages: ruff 0.9.0 → 0.8.0",
        "hardware: threads 2 → 1",
        "hardware: accelerators none → H100",
        "hardware: trainer.devices 1 → 2",
        "configuration: optimizer.weight_decay 0.0001 → 0.001",
    ]


def test_a_split_that_follows_from_the_seed_is_the_configurations() -> None:
    now = replace(recorded(), cfg=config(seed=1, datamodule__seed=1), split="x" * 64, configuration="f" * 64)
    assert [difference.ingredient for difference in differences(recorded(), now)] == ["configuration"] * 2


def test_a_run_that_went_on_elsewhere_has_both_values() -> None:
    now = replace(recorded(), sessions=(SESSION, SESSION | {"threads": 4}))
    assert differences(recorded(), now) == (Difference("hardware", "threads", "2", "2, then 4"),)


def test_processors_of_one_name_differ_where_both_records_tell_their_model() -> None:
    known = replace(recorded(), sessions=(SESSION | {"processor_model": "family 25, model 1"},))
    other = replace(recorded(), sessions=(SESSION | {"processor_model": "family 25, model 17"},))
    named = Difference("hardware", "processor_model", "family 25, model 1", "family 25, model 17")
    assert differences(known, other) == (named,)
    assert differences(recorded(), other) == ()  # of before the model was taken down
    assert differences(other, recorded()) == ()


def test_other_initial_weights_under_the_same_name_are_seen() -> None:
    before = replace(recorded(), cfg=config(model={"weights": "file.pt"}))
    (difference,) = differences(before, replace(before, configuration="f" * 64))
    assert str(difference).startswith("configuration: the content of model.weights")


def test_a_setting_within_a_list_has_a_name() -> None:
    now = replace(recorded(), cfg=config(augmentation__transforms=[{"p": 0.25}]), configuration="f" * 64)
    (difference,) = differences(recorded(), now)
    assert str(difference) == "configuration: augmentation.transforms[0].p 0.5 → 0.25"

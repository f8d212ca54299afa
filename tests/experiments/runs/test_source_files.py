"""Which source files make a run another run, and which never do."""

import importlib
import inspect
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback

from experiments.runs import source_files
from experiments.runs.build import assemble
from experiments.runs.configuration import compose
from experiments.runs.identity import identify
from experiments.runs.processes import Silence
from experiments.runs.source_files import HOUSE, PACKAGES, RUN_MODULES, WATCHING, code_files, reached
from experiments.runs.training import train

ARMS = {
    "residual": ["model=resnet20", "datamodule=digits"],
    "stacked": ["model=vgg11", "datamodule=digits"],
    "other data": ["model=resnet20", "datamodule=cifar10"],
}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the house, whose files can be written to."""
    for package in PACKAGES:
        shutil.copytree(HOUSE / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(source_files, "HOUSE", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def arms() -> dict[str, DictConfig]:
    return {name: compose(overrides) for name, overrides in ARMS.items()}


def digests(arms: dict[str, DictConfig]) -> dict[str, str]:
    return {name: identify(cfg, "d" * 64).code for name, cfg in arms.items()}


def stale_after_edit(file: Path, arms: dict[str, DictConfig]) -> set[str]:
    before = digests(arms)
    file.write_text(file.read_text() + "\n# edited\n")
    after = digests(arms)
    return {name for name in arms if before[name] != after[name]}


@pytest.mark.parametrize(
    ("file", "stale"),
    [
        ("lightning_modules/networks/resnet.py", {"residual", "other data"}),
        ("lightning_modules/networks/vgg.py", {"stacked"}),
        ("lightning_modules/classification.py", set(ARMS)),
        ("lightning_modules/networks/__init__.py", set(ARMS)),
        ("lightning_modules/__init__.py", set(ARMS)),
        ("datamodules/__init__.py", set(ARMS)),
        ("datamodules/cifar10.py", {"other data"}),
        ("datamodules/sampling.py", set(ARMS)),
        ("experiments/runs/callbacks.py", set(ARMS)),
        ("experiments/runs/stopping.py", set(ARMS)),
        ("lightning_modules/networks/googlenet.py", set()),
        ("experiments/runs/progress.py", set()),
        ("experiments/runs/heartbeat.py", set()),
        ("experiments/runs/ranges.py", set()),
        ("experiments/runs/architecture_hints.py", set()),
        ("experiments/runs/inspection.py", set()),
        ("experiments/measures/network.py", set()),
        ("experiments/tracking/tracker.py", set()),
        ("experiments/studies/verdict.py", set()),
    ],
)
def test_an_edit_makes_exactly_those_runs_stale_whose_result_it_can_change(
    file: str, stale: set[str], house: Path, arms: dict[str, DictConfig]
) -> None:
    assert stale_after_edit(house / file, arms) == stale


@pytest.mark.parametrize("line", ["from .own import WIDTH", "from ..networks.own import WIDTH", "from . import own"])
def test_a_file_that_is_imported_relatively_counts(line: str, house: Path, arms: dict[str, DictConfig]) -> None:
    networks = house / "lightning_modules" / "networks"
    (networks / "own.py").write_text("WIDTH = 1\n")
    with (networks / "resnet.py").open("a") as file:
        file.write(f"{line}\n")
    assert stale_after_edit(networks / "own.py", arms) == {"residual", "other data"}


def users_package(folder: Path, monkeypatch: pytest.MonkeyPatch, *, initialised: bool) -> DictConfig:
    name = "ours_with" if initialised else "ours_without"
    package = folder / name / "nets"
    package.mkdir(parents=True)
    (package / "parts.py").write_text("WIDTH = 1\n")
    (package / "net.py").write_text("def make():\n    from ..nets import parts\n    from . import __doc__\n")
    if initialised:
        (folder / name / "__init__.py").write_text("")
        (package / "__init__.py").write_text("from .late import LATE\n")
        (package / "late.py").write_text("LATE = 1\n")
    monkeypatch.syspath_prepend(str(folder))
    cfg: DictConfig = OmegaConf.create({"model": {"network": {"_target_": f"{name}.nets.net.Net.build"}}})
    return cfg


@pytest.mark.parametrize("initialised", [True, False])
def test_a_users_own_package_counts_whatever_it_is_called_by(
    initialised: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = users_package(tmp_path, monkeypatch, initialised=initialised)
    own = {name.partition(".")[2]: path for name, path in code_files(cfg).items() if name.startswith("ours_with")}
    expected = {"nets.net", "nets.parts"} | ({"", "nets", "nets.late"} if initialised else set())
    assert set(own) == expected
    assert stale_after_edit(own["nets.parts"], {"arm": cfg}) == {"arm"}


def test_a_file_that_is_no_python_counts_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "users_own_arms.py").write_text("def later():\n    import users_own_draft\n")
    (tmp_path / "users_own_draft.py").write_text("def unfinished(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert set(reached(["users_own_arms"])) == {"users_own_arms", "users_own_draft"}


def test_installed_packages_do_not_count() -> None:
    assert reached(["torch.nn.Linear", "numpy", "json", sys.__name__, "no_such_package.module"]) == {}


def every_module(*packages: str) -> list[str]:
    files = [path for package in packages for path in (HOUSE / package).rglob("*.py")]
    return [".".join(path.relative_to(HOUSE).with_suffix("").parts).removesuffix(".__init__") for path in files]


def test_nothing_that_learns_or_brings_data_reaches_what_does_not_count() -> None:
    """A network, a loss, a schedule or a data set that imported it would make it decide results."""
    assert without_counting(reached(every_module("lightning_modules", "datamodules"))) == []


def without_counting(names: Iterable[str]) -> list[str]:
    return [name for name in names if name in WATCHING or any(name.startswith(f"{one}.") for one in WATCHING)]


def test_what_does_not_count_would_count_without_the_list() -> None:
    """A name that nothing reaches is misspelt, or has no business on the list."""
    whole = reached(RUN_MODULES)
    assert all(any(name == one or name.startswith(f"{one}.") for name in whole) for one in WATCHING)
    assert not WATCHING & {*RUN_MODULES, *PACKAGES}


class Inert(Callback):
    """Stands for anything that does not count: takes every call, and does nothing."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __getattr__(self, name: str) -> "Inert":
        if name.startswith("__"):
            raise AttributeError(name)
        return Inert()

    def __call__(self, *_: object, **__: object) -> "Inert":
        return self

    def __iter__(self) -> Iterator[object]:
        return iter(())


def make_inert(monkeypatch: pytest.MonkeyPatch, cfg: DictConfig) -> set[str]:
    """Put `Inert` in the place of whatever the run has from modules that do not count; return their names."""
    replaced = set()
    for name in code_files(cfg):
        module = importlib.import_module(name)
        for attribute, value in list(vars(module).items()):
            origin = value.__name__ if inspect.ismodule(value) else getattr(value, "__module__", None)
            # A package has its modules as attributes: nobody imported them from there.
            if isinstance(origin, str) and origin != f"{name}.{attribute}" and without_counting([origin]):
                monkeypatch.setattr(module, attribute, Inert)
                replaced.add(origin)
    return replaced


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")
def test_a_run_without_all_that_does_not_count_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the list gets that a result depends on (checkpoints, weights, stopping …), this run misses it."""
    small = ["model=conv5x5", "model.network.widths=[8,8]", "datamodule.image_size=8", "datamodule.few_samples=10"]
    first = assemble(compose([*small, "seed=7"]))
    torch.save(first.network.state_dict(), tmp_path / "first.pt")
    asked = [f"model.weights={tmp_path / 'first.pt'}", "gradient_flow_every=1", "trainer.max_epochs=2"]
    cfg = compose([*small, *asked])

    def trained(name: str) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        (tmp_path / name).mkdir()
        assembly = assemble(cfg)
        outcome = train(assembly, tmp_path / name, Silence(), None, name=name, heartbeat=tmp_path / f"{name}.beat")
        errors = {key: value for key, value in outcome.metrics.items() if not key.startswith("time/")}
        return assembly.module.state_dict(), errors

    weights, errors = trained("watched")
    assert (tmp_path / "watched.beat").is_file()
    replaced = make_inert(monkeypatch, cfg)
    assert {"experiments.runs.progress", "experiments.runs.heartbeat", "experiments.runs.gradient_flow"} <= replaced
    same_weights, same_errors = trained("alone")
    assert not (tmp_path / "alone.beat").exists()
    assert errors == same_errors
    assert weights.keys() == same_weights.keys()
    assert all(torch.equal(tensor, same_weights[name]) for name, tensor in weights.items())


def test_the_measures_count_where_they_say_which_layers_are_the_first() -> None:
    measures = "experiments.measures.network"
    assert measures not in code_files(compose(["model.freeze=trunk"]))
    assert measures in code_files(compose(["model.freeze=first:3"]))
    assert measures in code_files(compose(["model.weights=weights.pt", "model.copy=first:3"]))


@pytest.mark.parametrize(
    ("look", "module"),
    [
        ("probe_every=1", "experiments.measures.probes"),
        ("probe_every=1", "datamodules.scenes.probing"),
        ("linearity_images=2", "experiments.measures.linearity"),
        ("gradient_flow_every=1", "experiments.measures.gradient_flow"),
    ],
)
def test_what_studies_judge_by_counts_where_it_is_looked_at(look: str, module: str) -> None:
    assert module not in code_files(compose([]))
    assert module in code_files(compose([look]))

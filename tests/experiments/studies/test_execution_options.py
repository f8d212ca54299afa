"""How a study is executed, as it is said on the command line."""

import pytest

from experiments.errors import UserError
from experiments.studies import execution_options as room
from experiments.studies.execution_options import ExecutionOptions, execution_options


def test_options_are_read_as_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYDEEP_CORES", "3")
    monkeypatch.setattr(room, "_is_installed", lambda _: True)
    assert execution_options() == ExecutionOptions("here", 1, 1)
    assert execution_options(workers="1") == ExecutionOptions("here", 1, 1)
    assert execution_options(workers="4", retries="0") == ExecutionOptions("pool", 4, 0)
    assert execution_options(launcher="pool") == ExecutionOptions("pool", 3, 1)
    assert execution_options(launcher="pool", workers="1") == ExecutionOptions("pool", 1, 1)
    cluster = execution_options(launcher="submitit_slurm", settings=["hydra.launcher.partition=gpu"])
    assert (cluster.workers, cluster.settings) == (64, ("hydra.launcher.partition=gpu",))
    for given, complaint in (
        ({"launcher": "slurm"}, "launcher=slurm: no such launcher; did you mean 'submitit_slurm'"),
        ({"launcher": "here"}, "launcher=here: no such launcher"),
        ({"workers": "0"}, "workers=0: must be a whole number from 1"),
        ({"workers": "two"}, "workers=two: must be a whole number from 1"),
        ({"workers": "17"}, "workers=17: must be at most 16 on this machine, which has 3 cores"),
        ({"workers": "17", "launcher": "submitit_local"}, "workers=17: must be at most 16 on this machine"),
        ({"workers": "100000", "launcher": "ray"}, "workers=100000: must be at most 1000 at once in a queue"),
        ({"retries": "-1"}, "retries=-1: must be a whole number from 0"),
        ({"settings": ["hydra.launcher.x=1"]}, "hydra.launcher.x=1: goes with a launcher of Hydra's"),
    ):
        with pytest.raises(UserError, match=complaint.replace("?", r"\?")):
            execution_options(**given)


def test_what_is_sensible_grows_with_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHYDEEP_CORES", "8")
    assert execution_options(workers="32").workers == 32
    with pytest.raises(UserError, match="workers=33: must be at most 32 on this machine, which has 8 cores"):
        execution_options(workers="33")


@pytest.mark.parametrize(
    ("launcher", "extra"), [("submitit_local", "slurm"), ("submitit_slurm", "slurm"), ("ray", "ray")]
)
def test_a_launcher_that_is_not_installed_is_said_at_once(
    monkeypatch: pytest.MonkeyPatch, launcher: str, extra: str
) -> None:
    # As on a machine that has the library, but not Hydra's plugin for it.
    monkeypatch.setattr(room, "_is_installed", lambda package: "." not in package)
    complaint = rf"^launcher={launcher}: not installed; pip install 'whydeep\[{extra}\]' brings it$"
    with pytest.raises(UserError, match=complaint):
        execution_options(launcher=launcher)
    assert execution_options(launcher="pool").launcher == "pool"


def test_packages_are_looked_for_without_being_imported() -> None:
    found = room._is_installed
    assert found("omegaconf")
    assert not found("hydra_plugins_of_nobody.launcher")
    assert not found("omegaconf.nothing_of_it")

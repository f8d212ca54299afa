"""The arguments of `whydeep train`: what is refused, in one line, before anything runs; no run, no process."""

from pathlib import Path

import pytest

from experiments.cli import run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study=stacked_filters"], "study: unknown key; allowed: augmentation, checkpoint_minutes"),
        (["+study=stacked_filters"], "study: unknown key; allowed: augmentation, checkpoint_minutes"),
        (["model/task=foo"], "model/task: unknown key; did you mean 'model'?"),
        (["model=resnt20", "trainer.epochs=3"], "model=resnt20: no such option; did you mean 'resnet20'?"),
        (["--config-dir", "/nope"], "--config-dir: unknown flag; allowed: -m, --help, --cfg job"),
        (["--cfg", "foo"], "--cfg foo: allowed: all, hydra, job"),
        (["--cfg"], "--cfg : allowed: all, hydra, job"),
        (["-i"], "-i: unknown flag"),
        (["--resolve"], "--resolve: goes with --cfg job"),
        (["seed=1", "model=resnet32", "seed=2"], "seed=2: given twice"),
        (["-m", "seed=range(0,0)", "model=conv5x5,resnet20"], "seed=range(0,0): no value, hence no run"),
        (["hydra.run.dir=/proc/x"], "hydra.run.dir=/proc/x: /proc cannot be written to"),
        (["-m", "seed=0,1", "hydra.sweep.dir=file.txt/x"], "hydra.sweep.dir=file.txt/x: "),
        (["hydra.mode=foo"], "hydra.mode=foo: invalid value 'foo'"),
        (["runs_dir=/proc/runs"], "runs_dir=/proc/runs: /proc cannot be written to"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file.txt").touch()
    assert run("train", arguments) == 2
    told = capsys.readouterr()
    assert told.err.startswith(f"whydeep: error: {message}")
    assert told.err.count("\n") == 1
    assert told.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]


def test_what_hydra_cannot_do_with_its_own_settings_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("train", ["hydra.output_subdir=/proc/1/nope"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("whydeep: error: hydra.output_subdir=/proc/1/nope: Hydra cannot work with it (")
    assert told.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_help_names_what_train_takes_and_no_study(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", ["--help"]) == 0
    told = capsys.readouterr().out
    assert "  model=conv5x5, " in told
    assert "  optimizer=adamw, sgd\n" in told
    assert "  seed=0 " in told
    assert "study" not in told


def test_the_configuration_is_shown_without_a_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("train", ["--cfg", "job", "seed=7"]) == 0
    assert "seed: 7\n" in capfd.readouterr().out

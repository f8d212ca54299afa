"""A run is continued as it is found: finished by another process meanwhile, failed in an earlier session."""

from pathlib import Path

import pytest
from omegaconf import DictConfig

from experiments.runs import session
from experiments.runs.build import assemble
from experiments.runs.configuration import compose
from experiments.runs.endings import Endings
from experiments.runs.execute import RunFailed, execute, identity_of
from experiments.runs.result import RunResult
from experiments.runs.session import run_here
from experiments.tracking.card import read_card

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*isinstance.treespec")


def configured(runs_dir: Path, *more: str) -> DictConfig:
    asked = ["model=conv5x5", "model.network.widths=[4,4]", "datamodule=digits", "datamodule.image_size=8"]
    asked += ["datamodule.few_samples=2", "effective_field_images=0", "trainer.max_epochs=1", f"runs_dir={runs_dir}"]
    return compose([*asked, *more])


def test_a_run_that_was_finished_meanwhile_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = configured(tmp_path)
    first = execute(cfg, progress=False)
    written = (first.run_dir / "result.json").read_bytes()
    real, looks = RunResult.read, []

    def read(run_dir: Path) -> RunResult | None:
        """Know of no result until the run is about to be trained."""
        looks.append(run_dir)
        return None if len(looks) <= 2 else real(run_dir)  # to choose the directory, and to see whether it is done

    monkeypatch.setattr(RunResult, "read", read)
    monkeypatch.setattr(session, "train", lambda *_, **__: pytest.fail("it was trained again"))
    second = execute(cfg, progress=False)
    assert (second.run_id, second.metrics, second.skipped) == (first.run_id, first.metrics, True)
    assert (first.run_dir / "result.json").read_bytes() == written
    card = read_card(first.run_dir)
    assert card is not None
    assert card.status == "FINISHED"


def test_one_of_several_processes_trains_on_whatever_it_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others have begun already, and would wait for it for ever."""
    assembly = assemble(configured(tmp_path, "trainer.devices=2", "tracking.deliver=false"))
    identity = identity_of(assembly)
    done = RunResult(tmp_path / "run", None, identity.digest, "run", "FINISHED", 0, {}, (1, 8, 8))
    done.run_dir.mkdir()
    done.write()

    def begun(*_: object, **__: object) -> None:
        raise RunFailed("it has begun to train")

    monkeypatch.setattr(session, "train", begun)
    with pytest.raises(RunFailed, match="it has begun to train"):
        run_here(done.run_dir, assembly, identity, progress=False, command=(), endings=Endings(done.run_dir, "1-1"))


def test_no_session_keeps_the_result_of_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = configured(tmp_path, "tracking.deliver=false")
    found: list[RunResult | None] = []

    def fail(_: object, run_dir: Path, *__: object, **___: object) -> None:
        found.append(RunResult.read(run_dir))
        raise RunFailed(f"session {len(found)}")

    monkeypatch.setattr(session, "train", fail)
    for said in ("session 1", "session 2"):
        with pytest.raises(RunFailed, match=said) as failed:
            execute(cfg, progress=False)
        assert failed.value.result is not None
        written = RunResult.read(failed.value.result.run_dir)
        assert written is not None
        assert written.reason == said
    # Killed in its training, the second one would have been taken for one that failed as the first did.
    assert found == [None, None]

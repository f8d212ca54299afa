"""`whydeep reproduce`: of a toy run in place, with what is changed, missing or refused."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from experiments.cli import run
from experiments.runs.configuration import load
from experiments.runs.recorded_code import Recorded, recorded_code
from tests.experiments.recorded import recorded, result, weights


@pytest.fixture
def copy(toy_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a copy of the toy run, in a folder that commands are given in with as many threads as it had."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    target = tmp_path / "runs" / toy_run.name
    shutil.copytree(toy_run, target)
    threads = torch.get_num_threads()
    yield target
    assert torch.get_num_threads() == threads


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def answer(copy: Path, *arguments: str) -> tuple[int, dict[str, object]]:
    """Reproduce the copy in this process; return the exit code and what `json=` holds."""
    file = copy.parent.parent / "answer.json"
    code = run("reproduce", [copy.name, f"json={file}", *arguments])
    return code, json.loads(file.read_text()) if file.exists() else {}


def test_the_same_machine_gives_the_same_bits_and_the_record_is_only_read(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(copy)
    code, told = answer(copy)
    assert (code, told["answer"], told["first_difference"]) == (0, "identical", None)
    assert content(copy) == before
    now = Path(str(told["now"]["run_dir"]))  # type: ignore[index]
    assert now == Path("runs") / "reproductions" / copy.name
    assert result(now)["identity"] == result(copy)["identity"]
    mine, theirs = weights(copy, "best"), weights(now, "best")
    assert all(torch.equal(value, theirs[name]) for name, value in mine.items())
    assert json.loads((now / "reproduction.json").read_text()) == told
    assert json.loads((now / "provenance.json").read_text())["command"][:3] == ["whydeep", "reproduce", copy.name]
    said = capsys.readouterr().out
    assert "identical: the weights of the best epoch and every recorded number are the same to the bit." in said
    assert "no ingredient differs" in said
    (compared,) = re.findall(r"^  compared  (.*)$", said, flags=re.MULTILINE)
    assert compared.startswith("1 run with its record (seed 0, 2 epochs): best (epoch, val_top1_error), ")
    assert "test (loss, top1_error, top5_error), the test error of 10 classes, train (" in compared
    assert compared.endswith(f"; {len(mine)} tensors of weights; 359 pictures of the test")
    # Asked again, it is run again.
    assert answer(copy)[1]["now"]["run_dir"].endswith("-2")  # type: ignore[index]


def test_another_weight_decay_is_another_experiment(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = answer(copy, "optimizer.weight_decay=0.001")
    assert (code, told["answer"]) == (1, "different")
    assert told["first_difference"] == "configuration: optimizer.weight_decay 0.0001 → 0.001"
    assert "different: another configuration is another experiment" in capsys.readouterr().out


def test_another_seed_goes_wherever_the_configuration_has_it(copy: Path) -> None:
    code, told = answer(copy, "seed=1")
    assert (code, told["answer"]) == (1, "different")
    named = [(each["ingredient"], each["name"]) for each in told["differences"]]  # type: ignore[attr-defined]
    assert sorted(named) == [("configuration", "datamodule.seed"), ("configuration", "seed")]


def test_another_number_of_threads_is_at_least_equivalent(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = answer(copy, "threads=2")
    assert code == 0
    assert told["answer"] in ("identical", "equivalent")
    assert told["first_difference"] == "hardware: threads 1 → 2"
    said = capsys.readouterr().out
    assert "  differs   hardware: threads 1 → 2" in said
    if told["answer"] == "equivalent":
        assert "  pictures  of 359 in the test, " in said


def test_bits_that_change_with_no_reason_are_blamed_on_the_run(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = copy / "checkpoints" / "best.ckpt"
    damaged = torch.load(checkpoint, weights_only=True)
    damaged["state_dict"]["network.fc.weight"][0, 0] += 1e-6
    torch.save(damaged, checkpoint)
    code, told = answer(copy)
    assert (code, told["answer"], told["first_difference"]) == (0, "equivalent", None)
    assert told["weights"]["furthest"] == "network.fc.weight"  # type: ignore[index]
    assert told["interval"]["disagreement"] == {"pictures": 359, "recorded_alone": 0, "now_alone": 0}  # type: ignore[index]
    assert "nothing recorded differs: the run is not deterministic." in capsys.readouterr().out


def test_without_its_checkpoint_the_metrics_are_compared(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "checkpoints" / "best.ckpt").unlink()
    code, told = answer(copy)
    assert (code, told["answer"], told["weights"]) == (0, "identical", None)
    said = capsys.readouterr().out
    assert "the weights cannot be compared, a checkpoint is missing" in said
    assert "; no weights; 359 pictures of the test" in said


def edit(file: Path, **changes: object) -> None:
    """Change values of a file of JSON or YAML."""
    text = file.read_text()
    node = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    inner = node
    for key, value in changes.items():
        *parents, last = key.split("__")
        for parent in parents:
            inner = inner[parent]
        inner[last], inner = value, node
    file.write_text(json.dumps(node) if file.suffix == ".json" else yaml.safe_dump(node))


def test_what_differs_in_code_packages_and_hardware_is_said_before_and_named_after(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(copy / "provenance.json", packages__torch="2.0.1", processor="another one", commit=None)
    edit(copy / "identity.json", code_files__experiments="0" * 64)
    code, told = answer(copy)
    said = capsys.readouterr().out
    assert code == 0
    assert "missing   the run was recorded outside of a git repository, without a commit" in said
    assert "code      what is here, as the recorded code cannot be had" in said
    assert "differs   code: experiments/__init__.py" in said
    assert "differs   packages: torch 2.0.1 → " in said
    assert "differs   hardware: processor another one → " in said
    assert str(told["first_difference"]).startswith("code: experiments/__init__.py 0000000000 → ")
    named = [each["ingredient"] for each in told["differences"]]  # type: ignore[attr-defined]
    assert named == ["code", "packages", "hardware"]


def refused(copy: Path, capsys: pytest.CaptureFixture[str], *arguments: str, name: str | None = None) -> str:
    """Return the one line in which the command says why it does nothing."""
    runs = len(list(copy.parent.iterdir()))
    assert run("reproduce", [name or copy.name, *arguments]) == 2
    text = capsys.readouterr().err
    assert text.count("\n") == 1, text
    assert len(list(copy.parent.iterdir())) == runs, "something was recorded"
    return text.removeprefix("whydeep: error: ").strip()


def test_what_cannot_be_compared_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = json.loads((copy / "data.json").read_text())["digest"]
    edit(copy / "data.json", digest="0" * 64)
    said = refused(copy, capsys)
    assert said.startswith(f"data: the pictures have the digest {pictures[:10]}…, those of the run 0000000000…")
    edit(copy / "data.json", digest=pictures)

    edit(copy / "result.json", status="KILLED", reason="stopped by SIGTERM")
    assert f"run={copy.name}: is KILLED (stopped by SIGTERM); only a finished run" in refused(copy, capsys)
    (copy / "result.json").unlink()
    assert f"run={copy.name}: has no result; only a finished run" in refused(copy, capsys)


def test_a_configuration_that_names_what_it_may_not_is_refused(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(copy / "config.yaml", model__network___target_="os.system")
    assert "model.network._target_=os.system: a recorded configuration may name only" in refused(copy, capsys)
    edit(copy / "config.yaml", model__network___target_="lightning_modules.networks.filter_stack.nn.Linear")
    assert "filter_stack.nn.Linear: a recorded configuration may name only" in refused(copy, capsys)


def test_changes_that_came_from_a_store_are_not_run_unread(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "journal.jsonl").unlink()
    edit(copy / "identity.json", code_files__experiments="0" * 64)
    (copy / "uncommitted.diff").write_text("import os")
    said = refused(copy, capsys)
    assert f"run={copy.name}: came from a store, with changes to the code that would be run here: read " in said
    assert said.endswith("uncommitted.diff, then add diff=apply")
    told: list[tuple[str, str]] = []
    code = Recorded(copy, load(copy / "config.yaml"), {"experiments": "0" * 64}, None, fetched=True)
    with recorded_code(code, lambda *note: told.append(note), apply_diff=True) as house:
        assert house is None
    assert ("missing", "the run was recorded outside of a git repository, without a commit") in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["optimizer.weight_deca=0.1"],
            "optimizer.weight_deca: unknown key; did you mean 'optimizer.weight_decay'? al",
        ),
        (["optimizer=adamw"], "optimizer=adamw: a reproduction changes single values of the recorded optimizer"),
        (["rerun=false"], "rerun=false: a reproduction decides that itself"),
        (["thread=2"], "thread: unknown key; did you mean 'threads'?"),
        (["threads=0"], "threads=0: must be a number from 1"),
        (["diff=no"], "diff=no: allowed: apply"),
        (["json=nowhere/a.json"], "json=nowhere/a.json: cannot be written"),
        (["optimizer.lr=[0.1"], "optimizer.lr=[0.1: cannot be read"),
        (["optimizer.lr=much"], "optimizer.lr"),
        (["another"], "reproduce: needs one run, not 2 ("),
        (["trainer.max_epochs=3", "trainer.max_epochs=4"], "trainer.max_epochs=4: given twice"),
    ],
)
def test_a_mistake_is_one_line(
    copy: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(copy, capsys, *arguments).startswith(message)


def test_an_unknown_run_has_close_matches(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"did you mean {copy.name}" in refused(copy, capsys, name=f"{copy.name[:-1]}x")


def test_the_store_knows_what_reproduces_what_and_is_enough_to_do_it_again(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    _, told = answer(copy, "tracking.deliver=true")
    folder = copy.parent.parent
    run_id = str(told["now"]["run_id"])  # type: ignore[index]
    stored = recorded(folder, run_id)
    assert stored.info.status == "FINISHED"
    assert stored.data.tags["whydeep.reproduces"] == copy.name
    assert stored.data.tags["whydeep.reproduction"] == "identical"

    # Known from the store alone, a run's last values and its weights are compared.
    shutil.rmtree(copy.parent / "reproductions")
    code = run("reproduce", [run_id, "json=fetched.json", "tracking.deliver=false"])
    told = json.loads((folder / "fetched.json").read_text())
    assert (code, told["answer"], told["first_difference"]) == (0, "identical", None)
    assert told["recorded"] == {"run_id": run_id, "run_dir": str(Path("runs") / "downloaded" / run_id)}
    assert told["numbers"]["every_step"] is False
    assert told["weights"]["total"] > 0

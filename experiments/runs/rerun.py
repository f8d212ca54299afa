"""Running a recorded configuration again, by the code that this process finds.

Also a program, `python rerun.py ANSWERS PARENT < ORDER`, that is run beside the code of any commit that can be checked
out: it calls only what has long been there. ANSWERS is the number of an open file to write to, PARENT the process that
waits for it.
"""

import contextlib
import inspect
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypedDict

if TYPE_CHECKING:
    from omegaconf import DictConfig
    from torch import Tensor

    from experiments.runs.build import Assembly

WATCH_SECONDS = 0.5
HOUSE_PACKAGES = ("datamodules", "experiments", "lightning_modules")


class Order(TypedDict):
    """What is to be done.

    `data` is the digest that the pictures must have, `None` where the caller wants other ones; `checkpoint` is the
    recorded run's, to count where its answers differ from the new one's; `threads` is the number for torch, `None` for
    torch's own choice; `name` is the new run's in the store; `house` is where the code must come from.
    """

    config: dict[str, Any]
    data: str | None
    checkpoint: str | None
    threads: int | None
    name: str
    tags: dict[str, str]
    command: list[str]
    progress: bool
    house: str


class Disagreement(TypedDict):
    """On how many of the `pictures` of the test split one of two networks alone is wrong."""

    pictures: int
    recorded_alone: int
    now_alone: int


class Answer(TypedDict):
    """What became of an order; `kind` is done, mistake, failed or killed, `text` says why where it is not done."""

    kind: str
    text: str
    signal_number: int
    run_dir: str | None
    disagreement: Disagreement | None


def run_again(order: Order) -> Answer:
    """Train what `order` says, in this process, and count where the two networks disagree.

    Raises:
        UserError, RunFailed, RunKilled: as `execute`; UserError also where the pictures are others.
    """
    from omegaconf import OmegaConf  # noqa: PLC0415 - whose code it is, is looked at first

    from experiments.runs.allowed import check_allowed  # noqa: PLC0415
    from experiments.runs.execute import execute  # noqa: PLC0415

    _check_house(order["house"])
    cfg = OmegaConf.create(order["config"])
    check_allowed(cfg)
    with computing_threads(order["threads"]):
        _check_data(cfg, order["data"])
        more: dict[str, Any] = {}
        if "label" in inspect.signature(execute).parameters:
            from experiments.runs.label import Label  # noqa: PLC0415 - older commits have none

            more["label"] = Label(order["name"], order["tags"])
        result = execute(cfg, command=order["command"], progress=order["progress"], **more)
        disagreement = None
        if order["checkpoint"] is not None:
            checkpoints = (Path(order["checkpoint"]), result.run_dir / "checkpoints" / "best.ckpt")
            disagreement = _disagreement(cfg, *checkpoints)
    return _answer("done", run_dir=str(result.run_dir), disagreement=disagreement)


def main(order: Order, answers: TextIO) -> int:
    """Do what `order` says and write the answer to `answers`; return the exit code."""
    from experiments.errors import UserError  # noqa: PLC0415 - after the watch over the parent has begun
    from experiments.runs.callbacks import RunFailed, RunKilled  # noqa: PLC0415
    from experiments.runs.chatter import quiet  # noqa: PLC0415

    quiet()
    try:
        answer, code = run_again(order), 0
    except UserError as error:
        answer, code = _answer("mistake", str(error)), 2
    except RunFailed as error:
        answer, code = _answer("failed", str(error), run_dir=_place(error)), 1
    except RunKilled as error:
        answer = _answer("killed", str(error), signal_number=error.signal_number, run_dir=_place(error))
        code = 128 + error.signal_number
    json.dump(answer, answers)
    return code


def _answer(
    kind: str,
    text: str = "",
    *,
    signal_number: int = 0,
    run_dir: str | None = None,
    disagreement: Disagreement | None = None,
) -> Answer:
    return Answer(kind=kind, text=text, signal_number=signal_number, run_dir=run_dir, disagreement=disagreement)


def _place(error: Exception) -> str | None:
    result = getattr(error, "result", None)
    return None if result is None else str(result.run_dir)


def _check_house(house: str) -> None:
    """Refuse to run code from elsewhere: an installed copy, or the folder that the command was given in.

    Raises:
        RuntimeError: a package comes from another place.
    """
    import importlib  # noqa: PLC0415 - what the house is, is looked at first

    for name in HOUSE_PACKAGES:
        origin = Path(str(importlib.import_module(name).__file__)).resolve()
        if not origin.is_relative_to(Path(house).resolve()):
            raise RuntimeError(f"{name} comes from {origin}, not from {house}")


def _check_data(cfg: "DictConfig", digest: str | None) -> None:
    from experiments.errors import UserError  # noqa: PLC0415 - whose code it is, is looked at first
    from experiments.runs.build import build_datamodule  # noqa: PLC0415

    found = build_datamodule(cfg).digest
    if digest is not None and found != digest:
        raise UserError(
            f"data: the pictures have the digest {found[:10]}…, those of the run {digest[:10]}…; on other pictures "
            "there is nothing to compare; datamodule.root=… or data_dir=… name the folder"
        )


@contextlib.contextmanager
def computing_threads(number: int | None) -> Iterator[None]:
    """Let torch, and the processes that it starts, compute with so many threads while inside."""
    if number is None:
        yield
        return
    import torch  # noqa: PLC0415 - seconds

    before, name = torch.get_num_threads(), "OMP_NUM_THREADS"
    told = os.environ.get(name)
    os.environ[name] = str(number)
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        os.environ.pop(name)
        if told is not None:
            os.environ[name] = told


def _disagreement(cfg: "DictConfig", recorded: Path, now: Path) -> Disagreement | None:
    """Test both checkpoints on the same pictures; `None` where they are equal, or one cannot be tested."""
    import torch  # noqa: PLC0415 - seconds
    from omegaconf import open_dict  # noqa: PLC0415

    from experiments.runs.build import assemble  # noqa: PLC0415

    if cfg.trainer.limit_test_batches is not None:
        return None
    states: list[dict[str, Any]] = []
    for path in (recorded, now):
        try:
            states.append(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
        except Exception:  # noqa: BLE001 - of any class where the file is missing or damaged; the comparison says so
            return None
    one, other = states
    if one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items()):
        return None
    plain = cfg.copy()
    with open_dict(plain):
        # As `start_keys.NO_WEIGHTS` has it, which older commits have not.
        for key in ("weights", "weights_digest", "weights_identity", "key_map"):
            if key in plain.model:
                plain.model[key] = None
        if "copy" in plain.model:
            plain.model["copy"] = "all"
    assembly = assemble(plain)
    try:
        first, second = (_wrong(assembly, state) for state in states)
    except RuntimeError:
        return None  # weights of another network
    return Disagreement(
        pictures=len(first),
        recorded_alone=int((first & ~second).sum()),
        now_alone=int((second & ~first).sum()),
    )


def _wrong(assembly: "Assembly", state: dict[str, Any]) -> "Tensor":
    """Return which pictures of the test split, bool `(N,)`, the network with the weights `state` takes for others."""
    import torch  # noqa: PLC0415 - seconds

    module, datamodule = assembly.module.eval(), assembly.datamodule
    module.load_state_dict(state)
    weight = next(module.parameters())
    with torch.no_grad():
        wrong = [
            module(datamodule.normalise(batch["image"]).to(weight.device, weight.dtype)).argmax(dim=1) != batch["label"]
            for batch in datamodule.test_dataloader()
        ]
    return torch.cat(wrong)


def _end_with(parent: int) -> None:
    """End this process soon after `parent` has ended, however that ended: nobody would wait for it any more."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="whydeep-watchdog", daemon=True).start()


if __name__ == "__main__":
    _end_with(int(sys.argv[2]))
    with os.fdopen(int(sys.argv[1]), "w", encoding="utf-8") as written:
        exit_code = main(json.load(sys.stdin), written)
    sys.exit(exit_code)

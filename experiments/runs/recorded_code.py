"""The code that a run was recorded with: where it is to be had, and running something by it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from experiments.errors import UserError
from experiments.runs import rerun
from experiments.runs.callbacks import RunFailed, RunKilled
from experiments.runs.ingredients import code_differences, file_of
from experiments.runs.launch import passing_on
from experiments.runs.rerun import Answer, Order
from experiments.runs.result import RunResult
from experiments.runs.source_files import PACKAGES, code_digests, code_files
from experiments.runs.worktree import CannotRebuildError, changed_files, rebuilt

DIFF_FILE = "uncommitted.diff"
SHOWN = 3  # files in a line

Say = Callable[[str, str], None]


@dataclass(frozen=True)
class Recorded:
    """What a run says of its code: `digests` of the files that `cfg` reaches by module, and the commit.

    `fetched` says that the record comes from a store: its changes to the code are somebody's text.
    """

    run_dir: Path
    cfg: DictConfig
    digests: Mapping[str, str]
    commit: str | None
    fetched: bool

    @property
    def diff(self) -> Path | None:
        """The uncommitted changes; `None` where there were none."""
        file = self.run_dir / DIFF_FILE
        return file if file.is_file() else None


@contextmanager
def recorded_code(recorded: Recorded, say: Say, *, apply_diff: bool) -> Iterator[Path | None]:
    """Yield where the recorded code is: `None` for here, else the folder of a worktree that is removed afterwards.

    What cannot be had is said, and the nearest thing is yielded: the commit without its changes, or what is here.

    Raises:
        UserError: changes that came from a store would be run, and nobody has agreed to that (`apply_diff`).
    """
    here = code_digests(code_files(recorded.cfg).items())
    if not any(code_differences(recorded.digests, here)):
        say("code", f"as recorded, here ({len(recorded.digests)} files)")
        yield None
        return
    if recorded.diff is not None and recorded.fetched and not apply_diff:
        raise UserError(
            f"run={recorded.run_dir.name}: came from a store, with changes to the code that would be run here: "
            f"read {recorded.diff}, then add diff=apply"
        )
    with _worktree(recorded, say) as house:
        if house is None:
            _say_what_differs(recorded.digests, here, say)
        else:
            _say_what_differs(recorded.digests, _digests_in(house, recorded.digests, here), say)
        yield house


def run_there(order: Order, house: Path) -> Answer:
    """Run `order` in a process whose code is that of `house`.

    Raises:
        UserError, RunKilled, RunFailed: what it raised there.
    """
    path = os.pathsep.join(filter(None, (str(house), os.environ.get("PYTHONPATH"))))
    # Safe: one process for each device is started with -m, which would look for code in the current folder first.
    more = {"PYTHONPATH": path, "PYTHONSAFEPATH": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    if order["threads"] is not None:
        more["OMP_NUM_THREADS"] = str(order["threads"])
    reading, writing = os.pipe()
    running: list[subprocess.Popen[str]] = []
    with passing_on(running, []), os.fdopen(reading, encoding="utf-8") as answers:
        process = subprocess.Popen(  # noqa: S603 - this interpreter, with a file of ours
            [sys.executable, str(Path(rerun.__file__).resolve()), str(writing), str(os.getpid())],
            env={**os.environ, **more},
            stdin=subprocess.PIPE,
            text=True,
            pass_fds=(writing,),
            # Ctrl-C comes through this process, once.
            process_group=0,
        )
        os.close(writing)
        running.append(process)
        process.communicate(json.dumps({**order, "house": str(house)}))
        text = answers.read()
    if not text:
        raise RunFailed(f"the process that ran the recorded code ended with {process.returncode}")
    answer: Answer = json.loads(text)
    if answer["kind"] == "mistake":
        raise UserError(answer["text"])
    if answer["kind"] == "killed":
        raise RunKilled(answer["signal_number"] or signal.SIGTERM)
    if answer["kind"] == "failed":
        run_dir = answer["run_dir"]
        raise RunFailed(answer["text"], None if run_dir is None else RunResult.read(Path(run_dir)))
    return answer


@contextmanager
def _worktree(recorded: Recorded, say: Say) -> Iterator[Path | None]:
    """Yield the folder of the recorded commit, without its changes where they do not apply; `None` without a commit."""
    commit, diff = recorded.commit, recorded.diff
    for changes in (None,) if diff is None else (diff, None):
        with ExitStack() as stack:
            try:
                house = stack.enter_context(rebuilt(commit, changes))
            except CannotRebuildError as error:
                say("missing", str(error))
                if commit is None:
                    break
                continue
            with_changes = "" if changes is None else f" and its recorded changes ({_listed(changed_files(changes))})"
            say("code", f"commit {str(commit)[:10]}{with_changes}, in a worktree")
            yield house
            return
    say("code", "what is here, as the recorded code cannot be had")
    yield None


def _digests_in(house: Path, modules: Iterable[str], here: Mapping[str, str]) -> dict[str, str]:
    """Return the digests of modules in `house`; a user's own are the same wherever the house is."""
    files = {module: house / file_of(module, house) for module in modules if module.partition(".")[0] in PACKAGES}
    own = {module: digest for module, digest in here.items() if module.partition(".")[0] not in PACKAGES}
    return own | code_digests((module, path) for module, path in files.items() if path.is_file())


def _say_what_differs(recorded: Mapping[str, str], now: Mapping[str, str], say: Say) -> None:
    if names := [one.name for one in code_differences(recorded, now)]:
        say("differs", f"code: {_listed(names)}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= SHOWN else f"{', '.join(names[:SHOWN])} and {len(names) - SHOWN} more"

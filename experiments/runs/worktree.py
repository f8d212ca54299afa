"""The code of a run as it was: its commit in a clean git worktree, with the changes that were recorded beside it."""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from experiments.runs.source_files import HOUSE
from experiments.tracking.locks import RunLock, is_locked

PREFIX = "whydeep-reproduce-"
GIT_SECONDS = 120


class CannotRebuildError(RuntimeError):
    """The code of the run cannot be had; the text says why, in a line."""


@contextlib.contextmanager
def rebuilt(commit: str | None, diff: Path | None) -> Iterator[Path]:
    """Check out `commit`, apply `diff` to it, and yield the folder that holds the packages of the house.

    It lies in the system's folder for temporary files and is removed afterwards, whatever happens inside; one that a
    killed process has left is removed by the next. Hooks of the repository are not run.

    Raises:
        CannotRebuildError: no commit, no git, a clone that lacks it, or changes that do not apply.
    """
    if commit is None:
        raise CannotRebuildError("the run was recorded outside of a git repository, without a commit")
    _check_commit(commit)
    remove_left()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX)).resolve()
    lock = RunLock(folder)
    tree = folder / "house"
    try:
        try:
            _git("worktree", "add", "--detach", "--quiet", str(tree), commit)
            house = tree / _git("rev-parse", "--show-prefix").strip()
            if not (house / "experiments" / "__init__.py").is_file():
                raise CannotRebuildError(f"commit {commit[:10]} does not hold the code of whydeep")
            if diff is not None:
                _apply(diff, tree)
        except _GitError as error:
            raise CannotRebuildError(f"commit {commit[:10]} cannot be checked out ({error})") from error
        yield house
    finally:
        _remove(tree)
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def remove_left() -> None:
    """Remove the worktrees of processes that were killed."""
    with contextlib.suppress(_GitError):
        listed = re.findall(r"(?m)^worktree (.+)$", _git("worktree", "list", "--porcelain"))
        for tree in map(Path, listed):
            if tree.parent.name.startswith(PREFIX) and not is_locked(tree.parent):
                _remove(tree)
                shutil.rmtree(tree.parent, ignore_errors=True)


def changed_files(diff: Path) -> list[str]:
    """Return the files that a recorded diff changes, as their names stand in it."""
    text = diff.read_text(encoding="utf-8", errors="replace")
    return [second for _, second in re.findall(r"(?m)^diff --git a/(.+?) b/(.+)$", text)]


def _check_commit(commit: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{7,64}", commit):
        raise CannotRebuildError(f"the recorded commit {commit!r} is not the name of one")
    try:
        _git("rev-parse", "--git-dir")
    except _GitError as error:
        raise CannotRebuildError(f"{HOUSE} is no git repository here ({error})") from error
    try:
        _git("cat-file", "-e", f"{commit}^{{commit}}")
    except _GitError as error:
        shallow = _git("rev-parse", "--is-shallow-repository").strip() == "true"
        advice = "this clone is shallow: git fetch --unshallow" if shallow else "git fetch may bring it"
        raise CannotRebuildError(f"this repository does not have commit {commit[:10]}; {advice}") from error


def _apply(diff: Path, tree: Path) -> None:
    try:
        _git("apply", "--whitespace=nowarn", str(diff.resolve()), folder=tree)
    except _GitError as error:
        raise CannotRebuildError(f"the recorded changes ({diff.name}) do not apply to its commit ({error})") from error


def _remove(tree: Path) -> None:
    with contextlib.suppress(_GitError):
        _git("worktree", "remove", "--force", "--force", str(tree))
    shutil.rmtree(tree, ignore_errors=True)
    with contextlib.suppress(_GitError):
        _git("worktree", "prune")


class _GitError(RuntimeError):
    """What git said, in a line."""


def _git(*arguments: str, folder: Path = HOUSE) -> str:
    # A variable such as GIT_DIR, which git sets for its hooks, would send it to another repository.
    outside = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(  # noqa: S603 - git, with arguments of our own
            ["git", "-c", f"core.hooksPath={os.devnull}", *arguments],  # noqa: S607 - the user's git, wherever it is
            cwd=folder,
            env=outside,
            capture_output=True,
            check=True,
            timeout=GIT_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode("utf-8", errors="replace").strip().splitlines()
        raise _GitError(said[0] if said else f"git {arguments[0]} ended with {error.returncode}") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _GitError(f"git cannot be run: {error}") from error
    return answer.stdout.decode("utf-8", errors="replace")

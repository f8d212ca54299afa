"""Code as it was, from a repository of its own: what is rebuilt, what is refused, what is left behind."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.runs import worktree
from experiments.runs.worktree import PREFIX, CannotRebuildError, changed_files, rebuilt

CODE = "experiments/__init__.py"


def git(folder: Path, *arguments: str) -> str:
    own = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
    done = subprocess.run(["git", *own, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository with one commit."""
    folder = tmp_path / "house"
    (folder / "experiments").mkdir(parents=True)
    (folder / CODE).write_text("first = 1\n")
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    monkeypatch.setattr(worktree, "HOUSE", folder)
    monkeypatch.setattr(worktree._git, "__kwdefaults__", {"folder": folder})
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    return folder


def head(house: Path) -> str:
    return git(house, "rev-parse", "HEAD").strip()


def test_the_commit_is_rebuilt_with_its_changes_and_removed_afterwards(house: Path, tmp_path: Path) -> None:
    commit = head(house)
    (house / CODE).write_text("first = 2\n")
    (house / "experiments" / "new.bin").write_bytes(bytes(range(256)))
    git(house, "add", "--intent-to-add", ".")
    diff = tmp_path / "uncommitted.diff"
    diff.write_text(git(house, "diff", "--binary", "HEAD"))
    (house / CODE).write_text("first = 3\n")
    git(house, "commit", "--quiet", "-am", "later")

    with rebuilt(commit, diff) as there:
        assert (there / CODE).read_text() == "first = 2\n"
        assert (there / "experiments" / "new.bin").read_bytes() == bytes(range(256))
        assert git(there, "rev-parse", "HEAD").strip() == commit
    assert not there.exists()
    assert git(house, "worktree", "list").count("\n") == 1
    assert list((tmp_path / "temporary").iterdir()) == []
    assert changed_files(diff) == [CODE, "experiments/new.bin"]


def test_an_interruption_leaves_nothing_behind(house: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), rebuilt(head(house), None):
        raise KeyboardInterrupt
    assert list((tmp_path / "temporary").iterdir()) == []
    assert git(house, "worktree", "list").count("\n") == 1


def test_what_a_killed_process_left_is_removed_by_the_next_but_not_a_living_ones(house: Path, tmp_path: Path) -> None:
    dead = tmp_path / "temporary" / f"{PREFIX}dead"
    dead.mkdir()
    git(house, "worktree", "add", "--detach", "--quiet", str(dead / "house"))
    mine = tmp_path / "mine"
    git(house, "worktree", "add", "--detach", "--quiet", str(mine))
    with rebuilt(head(house), None) as living, rebuilt(head(house), None):
        assert living.exists()
        assert not dead.exists()
        assert mine.exists()


def test_hooks_are_not_run(house: Path, tmp_path: Path) -> None:
    hook = house / ".git" / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!{sys.executable}\nopen({str(tmp_path / 'ran')!r}, 'w')\n")
    hook.chmod(0o755)
    with rebuilt(head(house), None):
        pass
    assert not (tmp_path / "ran").exists()


def test_what_cannot_be_rebuilt_says_why(house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "uncommitted.diff"
    broken.write_text("# not recorded: 12000000 bytes of changes\n")
    for commit, diff, why in (
        (None, None, "without a commit"),
        ("--help", None, "not the name of one"),
        ("0" * 40, None, "does not have commit 0000000000; git fetch may bring it"),
        (head(house), broken, r"the recorded changes \(uncommitted.diff\) do not apply to its commit"),
    ):
        with pytest.raises(CannotRebuildError, match=why), rebuilt(commit, diff):
            pass
    assert list((tmp_path / "temporary").iterdir()) == []
    git(tmp_path, "clone", "--quiet", "--depth=1", house.as_uri(), "shallow")
    monkeypatch.setattr(worktree._git, "__kwdefaults__", {"folder": tmp_path / "shallow"})
    with pytest.raises(CannotRebuildError, match="shallow: git fetch --unshallow"), rebuilt("0" * 40, None):
        pass
    (tmp_path / "none").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    monkeypatch.setattr(worktree._git, "__kwdefaults__", {"folder": tmp_path / "none"})
    with pytest.raises(CannotRebuildError, match="no git repository"), rebuilt(head(house), None):
        pass

"""Where a study's records lie, and that nobody takes one study's folder for another's."""

import hashlib
import json
from pathlib import Path

import pytest

from experiments.errors import UserError
from experiments.studies import membership
from experiments.studies.membership import AS_WRITTEN, check_folder, study_folder, variation


def ran(folder: Path, name: str, varied: str) -> None:
    """Leave behind what says which study ran in a folder."""
    (folder / "study").mkdir(parents=True)
    (folder / "study" / "study.json").write_text(json.dumps({"name": name, "variation": varied}))


def test_each_variation_has_a_folder_of_its_own(tmp_path: Path) -> None:
    folders = {study_folder(tmp_path, "depth", variation(given)) for given in ([], ["a=1"], ["a=2"], ["a=1", "b=1"])}
    assert len(folders) == 4
    # The order of overrides, and what only says how runs are executed, make no other study.
    assert study_folder(tmp_path, "depth", variation(["b=1", "a=1", "runs_dir=x"])) in folders


def test_a_folder_of_the_same_name_is_not_taken_for_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Same:
        def hexdigest(self) -> str:
            return "0" * 64

    monkeypatch.setattr(hashlib, "sha256", lambda _: Same())
    one, other = variation(["optimizer.lr=0.1"]), variation(["optimizer.lr=0.2"])
    folder = study_folder(tmp_path, "depth", one)
    assert folder == study_folder(tmp_path, "depth", other)
    check_folder(folder, "depth", one)
    ran(folder, "depth", one)
    check_folder(folder, "depth", one)
    with pytest.raises(UserError) as refused:
        check_folder(folder, "depth", other)
    assert str(refused.value).startswith(f"{folder}: holds depth (optimizer.lr=0.1), whose folder has the same name as")
    assert "depth (optimizer.lr=0.2)" in str(refused.value)
    # Nor that of a study whose name looks like a variation's.
    with pytest.raises(UserError, match=r"holds depth \(optimizer.lr=0.1\)"):
        check_folder(folder, "depth-000000", AS_WRITTEN)


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_a_folder_that_says_nothing_is_free(tmp_path: Path, content: str) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / membership.WRITTEN_FILE).write_text(content)
    check_folder(tmp_path, "depth", AS_WRITTEN)

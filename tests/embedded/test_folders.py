"""Names from manifests become file names that stay in their folder; what cannot be kept says why."""

import os
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykatib.api.errors import HomeLocked, StorageFailed
from pykatib.embedded.folders import HomeFolders, default_home, segment
from pykatib.embedded.home import open_home

NAMES = st.text(st.characters(exclude_categories=())) | st.text(string.ascii_lowercase + "-./%_\\\x00 ", max_size=300)


@given(NAMES)
@example("..")
@example(".")
@example("")
@example("../../etc/passwd")
@example("a/../../b")
@example("a\x00b")
@example("a" * 500)
@example("é" * 300)
@example("\ud800")
@example("~")
@example("con\n")
def test_a_name_never_leads_out_of_its_folder(name: str) -> None:
    made = segment(name)
    assert made
    assert "/" not in made
    assert "\x00" not in made
    assert made not in (".", "..")
    assert not made.startswith("-")
    assert len(os.fsencode(made)) <= 255
    folder = HomeFolders(Path("/home"))
    inside = Path(os.path.normpath(folder.trial(name, name, name)))
    assert inside.is_relative_to("/home/trials")
    assert len(inside.parts) == 6


@given(st.lists(NAMES, max_size=20, unique=True))
def test_two_names_are_two_folders(names: list[str]) -> None:
    assert len({segment(name) for name in names}) == len(names)


@pytest.mark.parametrize("length", [199, 200, 201, 253, 4000])
def test_long_names_that_begin_alike_are_two_folders(length: int) -> None:
    assert segment("a" * length + "b") != segment("a" * length + "c")


@pytest.mark.parametrize("name", ["default", "team-a", "tune-abc-bcdfghjk", "A.b_c", "1"])
def test_harmless_names_stay_as_they_are(name: str) -> None:
    assert segment(name) == name


def test_the_home_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KATIB_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.delenv("KATIB_HOME")
    monkeypatch.setenv("HOME", "/somebody")
    assert default_home() == Path("/somebody/.katib")


def test_a_home_is_made_with_its_parents_and_keeps_its_id(tmp_path: Path) -> None:
    folders = HomeFolders(tmp_path / "a" / "b")
    folders.make()
    folders.make()
    assert folders.home_id() == folders.home_id()
    assert folders.root.is_absolute()


@pytest.mark.parametrize("content", [b"", b"not hex", b"\xff\xfe\x00", b"0123456789abcde"])
def test_a_damaged_id_is_made_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "home-id").write_bytes(content)
    made = HomeFolders(tmp_path).home_id()
    assert len(made) == 16
    assert HomeFolders(tmp_path).home_id() == made


def test_a_home_that_cannot_be_made_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed, match=r"cannot make the home folder .*/file/home: .*--home or KATIB_HOME"):
        open_home(tmp_path / "file" / "home")


def test_an_id_that_cannot_be_kept_says_where(tmp_path: Path) -> None:
    (tmp_path / "home-id").mkdir()
    with pytest.raises(StorageFailed, match=r"cannot keep .*home-id"):
        HomeFolders(tmp_path).home_id()


def test_a_home_whose_id_cannot_be_kept_is_let_go(tmp_path: Path) -> None:
    (tmp_path / "home-id").mkdir()
    with pytest.raises(StorageFailed):
        open_home(tmp_path)
    (tmp_path / "home-id").rmdir()
    open_home(tmp_path).plane.close()


def test_a_home_has_one_owner_until_it_is_closed(tmp_path: Path) -> None:
    mine = open_home(tmp_path)
    try:
        with pytest.raises(HomeLocked, match="is in use by process"):
            open_home(tmp_path)
    finally:
        mine.plane.close()
    open_home(tmp_path).plane.close()


def test_a_database_that_is_something_else_says_so_and_is_let_go(tmp_path: Path) -> None:
    HomeFolders(tmp_path).database.write_text("my diary")
    with pytest.raises(StorageFailed, match="not a pykatib database"):
        open_home(tmp_path)
    HomeFolders(tmp_path).database.unlink()
    open_home(tmp_path).plane.close()

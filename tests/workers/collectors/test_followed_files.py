"""A file that its program writes as it likes is read once: late, growing, truncated, rotated, written anew."""

import os
from pathlib import Path

import pytest

from pykatib.workers.collectors.files import FollowedFile


def read(file: FollowedFile) -> bytes:
    return file.read(1 << 20)


def test_a_file_that_comes_late_is_read_from_its_start(tmp_path: Path) -> None:
    file = FollowedFile(tmp_path / "m")
    assert read(file) == b""
    assert not file.was_found
    file.path.write_bytes(b"one\n")
    assert read(file) == b"one\n"
    assert file.was_found
    file.close()


def test_what_is_appended_is_read_in_bounded_pieces(tmp_path: Path) -> None:
    file = FollowedFile(tmp_path / "m")
    file.path.write_bytes(b"abcdef")
    assert (file.read(4), file.caught_up) == (b"abcd", False)
    assert (file.read(4), file.caught_up) == (b"ef", True)
    file.close()


def test_a_truncated_file_with_other_content_is_read_anew(tmp_path: Path) -> None:
    file = FollowedFile(tmp_path / "m")
    file.path.write_bytes(b"first run\n")
    read(file)
    file.path.write_bytes(b"second\n")
    assert (read(file), file.restarted) == (b"second\n", True)
    assert (read(file), file.restarted) == (b"", False)
    file.close()


def test_a_file_overwritten_by_a_longer_other_content_is_read_anew(tmp_path: Path) -> None:
    file = FollowedFile(tmp_path / "m")
    file.path.write_bytes(b"first\n")
    read(file)
    file.path.write_bytes(b"another and longer\n")
    assert (read(file), file.restarted) == (b"another and longer\n", True)
    file.close()


def test_a_history_written_anew_in_place_is_not_read_twice(tmp_path: Path) -> None:
    file = FollowedFile(tmp_path / "m")
    file.path.write_bytes(b"1\n2\n")
    assert read(file) == b"1\n2\n"
    with file.path.open("wb", buffering=0) as writer:
        assert read(file) == b""
        writer.write(b"1\n")
        assert read(file) == b""
        writer.write(b"2\n3\n")
        assert (read(file), file.restarted) == (b"3\n", False)
    file.close()


def test_a_history_that_is_renamed_into_place_is_not_read_twice(tmp_path: Path) -> None:
    file, new = FollowedFile(tmp_path / "m"), tmp_path / "new"
    file.path.write_bytes(b"1\n2\n")
    read(file)
    for text, expected in ((b"1\n2\n3\n", b"3\n"), (b"1\n2\n3\n", b""), (b"1\n2\n3\n4\n", b"4\n")):
        new.write_bytes(text)
        os.replace(new, file.path)
        assert (read(file), file.restarted) == (expected, False)
    file.close()


def test_a_rotated_file_is_read_to_its_end_before_the_next(tmp_path: Path) -> None:
    file = FollowedFile(tmp_path / "m")
    file.path.write_bytes(b"1\n")
    read(file)
    with file.path.open("ab") as writer:
        writer.write(b"2\n")
    os.replace(file.path, tmp_path / "m.1")
    file.path.write_bytes(b"3\n")
    assert read(file) == b"2\n"
    assert (read(file), file.restarted) == (b"3\n", True)
    file.close()


def test_a_replacement_of_the_same_size_is_read(tmp_path: Path) -> None:
    file, new = FollowedFile(tmp_path / "m"), tmp_path / "new"
    file.path.write_bytes(b"1\n")
    read(file)
    new.write_bytes(b"2\n")
    os.replace(new, file.path)
    assert (read(file), file.restarted) == (b"2\n", True)
    file.close()


def test_a_deleted_file_and_its_successor_are_read(tmp_path: Path) -> None:
    file = FollowedFile(tmp_path / "m")
    file.path.write_bytes(b"1\n")
    read(file)
    file.path.unlink()
    assert read(file) == b""
    file.path.write_bytes(b"2\n")
    assert read(file) == b"2\n"
    file.close()


def test_a_folder_in_its_place_is_an_error(tmp_path: Path) -> None:
    file = FollowedFile(tmp_path)
    with pytest.raises(IsADirectoryError):
        file.read(10)
    file.close()

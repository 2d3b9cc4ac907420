"""Event files: real ones of tensorboardX and TensorBoard's writers, and an independent writer for the rest."""

import shutil
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.workers.collectors.event_folder import EventFolder
from pykatib.workers.collectors.tfevents import NotAnEvent, scalars_of
from pykatib.workers.collectors.tfrecords import LARGEST_RECORD, RecordParser, masked_crc32c

REAL = Path(__file__).parent / "event_files"
NOW = 1_800_000_000.0


def read(folder: Path, *names: str) -> list[tuple[str, float, str]]:
    return [(log.name, log.time, log.value) for log in EventFolder(folder, names).read(1 << 20, NOW)]


def series(name: str, *values: str) -> list[tuple[str, float, str]]:
    return [(name, 1_700_000_000.5 + index, value) for index, value in enumerate(values)]


@pytest.mark.parametrize(
    ("folder", "name", "values"),
    [
        ("tensorboardx", "loss", ("0.5", "0.25", "0.1")),
        ("tensorboardx", "train/accuracy", ("0.7", "0.8", "0.9")),
        ("tensorboardx", "accuracy", ()),
        ("tensorflow2", "accuracy", ("0.7", "0.8", "0.9")),
        ("tensorflow2", "train/accuracy", ("0.7", "0.8", "0.9")),
        ("tensorflow2/train", "train/accuracy", ("0.7", "0.8", "0.9")),
        ("tensorflow2", "tensorflow2/train/accuracy", ("0.7", "0.8", "0.9")),
        ("tensorflow2", "test/accuracy", ()),
        ("tensorflow2", "rain/accuracy", ()),
        ("tensorflow2", "as_double", ("0.3333333333333333",) * 3),
        ("tensorflow2", "as_int", ("-5",) * 3),
        ("tensorflow2", "as_int64", ("7",) * 3),
        ("tensorflow2", "as_half", ("0.1",) * 3),
        ("tensorflow2", "as_uint8", ("200",) * 3),
        ("tensorflow2", "vector", ()),
        ("tensorflow1", "accuracy", ("0.7", "0.8", "0.9")),
        ("tensorflow1", "accuracy_1", ("0.7", "0.8", "0.9")),
    ],
)
def test_a_metric_takes_its_tag_from_real_files(folder: str, name: str, values: tuple[str, ...]) -> None:
    assert read(REAL / folder, name) == series(name, *values)


def test_the_tags_that_nobody_wanted_are_told() -> None:
    folder = EventFolder(REAL / "tensorboardx", ["acc"])
    folder.read(1 << 20, NOW)
    assert folder.other_tags == ["loss", "loss_aux", "train/accuracy"]


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + _varint(number >> 7)


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _event(tag: str, value: bytes, *, wall_time: float = 5.0) -> bytes:
    summary = _bytes(1, _bytes(1, tag.encode()) + value)
    return b"\x09" + struct.pack("<d", wall_time) + b"\x10" + _varint(3) + _bytes(5, summary)


def _simple(number: float) -> bytes:
    return b"\x15" + struct.pack("<f", number)


def _tensor(kind: int, *fields: bytes) -> bytes:
    metadata = _bytes(9, _bytes(1, _bytes(1, b"scalars")))
    return metadata + _bytes(8, b"\x08" + _varint(kind) + b"".join(fields))


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (_simple(0.1), "0.1"),
        (_simple(100.0), "100.0"),
        (_simple(3.4028234663852886e38), "3.4028235e+38"),
        (_simple(float("nan")), "nan"),
        (_simple(float("-inf")), "-inf"),
        (_tensor(1, _bytes(5, struct.pack("<f", 0.2))), "0.2"),
        (_tensor(1, b"\x2d" + struct.pack("<f", 0.2)), "0.2"),
        (_tensor(2, _bytes(6, struct.pack("<d", 0.3))), "0.3"),
        (_tensor(3, b"\x38" + _varint(2**64 - 5)), "-5"),
        (_tensor(9, _bytes(10, _varint(2**64 - 7))), "-7"),
        (_tensor(19, _bytes(13, _varint(0x2E66))), "0.1"),
        (_tensor(14, _bytes(13, _varint(0x3DCD))), "0.1"),
        (_tensor(14, _bytes(4, b"\xcd\x3d")), "0.1"),
        (_tensor(2, _bytes(2, _bytes(2, b"\x08\x01")), _bytes(4, struct.pack("<d", 4.0))), "4.0"),
    ],
)
def test_a_number_is_read_in_its_precision(value: bytes, text: str) -> None:
    assert [scalar.value for scalar in scalars_of(_event("loss", value))] == [text]


@pytest.mark.parametrize(
    "value",
    [
        _tensor(1, _bytes(2, _bytes(2, b"\x08\x02")), _bytes(4, struct.pack("<ff", 1, 2))),
        _tensor(1, _bytes(2, _bytes(2, b"")), _bytes(5, struct.pack("<f", 1))),
        _tensor(7, _bytes(8, b"text")),
        _tensor(1),
        _bytes(4, b"a picture"),
    ],
    ids=["vector", "empty", "text", "nothing", "picture"],
)
def test_what_is_no_single_number_is_no_scalar(value: bytes) -> None:
    assert scalars_of(_event("loss", value)) == []


@given(st.binary(max_size=200))
def test_any_bytes_are_an_event_or_refused(data: bytes) -> None:
    try:
        scalars = scalars_of(data)
    except NotAnEvent:
        return
    assert all(scalar.value for scalar in scalars)


@given(data=st.lists(st.binary(max_size=60), max_size=5), size=st.integers(1, 40))
def test_no_cut_of_a_file_changes_its_records(data: list[bytes], size: int) -> None:
    text = b"".join(map(_record, data))
    parser = RecordParser()
    records = [record for at in range(0, len(text), size) for record in parser.feed(text[at : at + size])]
    assert [record.data for record in records] == data
    assert all(record.is_sound() for record in records)


def test_the_checksum_is_crc32c() -> None:
    crc = 0xE3069283  # of "123456789", by the catalogues
    assert masked_crc32c(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_a_record_too_large_to_hold_is_passed_over() -> None:
    length = struct.pack("<Q", LARGEST_RECORD + 1)
    parser = RecordParser()
    assert parser.feed(length + struct.pack("<I", masked_crc32c(length))) == []
    left = LARGEST_RECORD + 1 + 4
    while left:
        assert parser.feed(bytes(min(left, 1 << 20))) == []
        left -= min(left, 1 << 20)
    assert [record.data for record in parser.feed(_record(b"next"))] == [b"next"]


def test_growing_files_are_read_as_far_as_they_are_whole(tmp_path: Path) -> None:
    folder = EventFolder(tmp_path / "logs", ["loss"])
    assert folder.read(1 << 20, NOW) == []
    (tmp_path / "logs" / "deep").mkdir(parents=True)
    file = tmp_path / "logs" / "deep" / "events.out.tfevents.1.h"
    text = _record(_event("loss", _simple(1.0))) + _record(_event("loss", _simple(2.0)))
    for end, values in ((20, []), (len(text) - 1, ["1.0"]), (len(text), ["2.0"])):
        file.write_bytes(text[:end])
        assert [log.value for log in folder.read(1 << 20, NOW)] == values
    (tmp_path / "logs" / "events.out.tfevents.2.h").write_bytes(_record(_event("loss", _simple(3.0))))
    assert [log.value for log in folder.read(1 << 20, NOW)] == ["3.0"]


def test_the_work_of_one_read_is_bounded(tmp_path: Path) -> None:
    text = b"".join(_record(_event("loss", _simple(float(number)))) for number in range(10))
    (tmp_path / "a.tfevents").write_bytes(text)
    folder = EventFolder(tmp_path, ["loss"])
    logs = folder.read(100, NOW)
    assert len(logs) < 10
    while not folder.caught_up:
        logs += folder.read(100, NOW)
    assert [log.value for log in logs] == [f"{number}.0" for number in range(10)]


def test_a_damaged_record_is_skipped_and_told(tmp_path: Path) -> None:
    good = _record(_event("loss", _simple(1.0)))
    damaged = bytearray(good)
    damaged[-6] ^= 1
    (tmp_path / "a.tfevents").write_bytes(bytes(damaged) + good)
    folder = EventFolder(tmp_path, ["loss"])
    assert len(folder.read(1 << 20, NOW)) == 1
    assert "checksum" in folder.problems.lines()[0]


def test_a_damaged_length_ends_the_file_and_is_told_once(tmp_path: Path) -> None:
    good = _record(_event("loss", _simple(1.0)))
    file = tmp_path / "a.tfevents"
    file.write_bytes(good + b"\0" * 12)
    folder = EventFolder(tmp_path, ["loss"])
    assert len(folder.read(1 << 20, NOW)) == 1
    file.write_bytes(good + b"\0" * 12 + good)
    assert folder.read(1 << 20, NOW) == []
    assert folder.problems.count == 1


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    shutil.copy(REAL / "tensorflow1" / "events.out.tfevents.1700000000.host", tmp_path / "model.bin")
    assert read(tmp_path, "accuracy") == []

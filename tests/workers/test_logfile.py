import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykatib.workers.logfile import LogBound, LogTail, follow, last_lines, left_out, printable, seal_log

SMALL = LogBound(head_bytes=1 << 20, tail_bytes=2 << 20)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


def append(path: Path, data: bytes) -> None:
    with open(path, "ab") as file:
        file.write(data)


def everything(tail: LogTail, max_bytes: int = 1 << 18) -> list[bytes]:
    return [line for lines in tail.drain(max_bytes) for line in lines]


def numbered(count: int) -> bytes:
    return b"".join(b"epoch=%08d loss=0.25 %s\n" % (number, b"." * 70) for number in range(count))


def holes_are_supported(folder: Path) -> bool:
    path = folder / "probe"
    path.write_bytes(numbered(100_000))
    with LogTail(path, bound=LogBound(head_bytes=4096, tail_bytes=4096)) as tail:
        everything(tail)
    return path.stat().st_blocks * 512 < path.stat().st_size // 2


def test_a_log_that_is_not_there_yet_is_empty_and_read_once_it_is(log: Path) -> None:
    with LogTail(log) as tail:
        assert tail.read() == []
        assert tail.caught_up
        append(log, b"one\n")
        assert tail.read() == [b"one"]


def test_a_line_is_returned_when_it_is_complete(log: Path) -> None:
    with LogTail(log) as tail:
        append(log, b"one\nlos")
        assert tail.read() == [b"one"]
        assert tail.read() == []
        append(log, b"s=0.5\n")
        assert tail.read() == [b"loss=0.5"]
        append(log, b"the end")
        assert tail.read() == []
        assert tail.finish() == [b"the end"]
        assert tail.finish() == []


@pytest.mark.parametrize(
    ("written", "lines"),
    [
        pytest.param(b"a\r\nb\r\n", [b"a", b"b"], id="lines of Windows"),
        pytest.param(b"10%\r20%\r", [b"10%", b"20%"], id="progress bar"),
        pytest.param(b"\n\na\n", [b"", b"", b"a"], id="empty lines"),
        pytest.param(b"a\x0bb\x0cc\x1cd\x85e\xe2\x80\xa8f\n", [b"a\x0bb\x0cc\x1cd\x85e\xe2\x80\xa8f"], id="no others"),
        pytest.param(b"\xff\x00\xfe\nx", [b"\xff\x00\xfe", b"x"], id="binary"),
    ],
)
@pytest.mark.parametrize("slice_bytes", [1, 2, 3, 1 << 18])
def test_lines_are_the_same_however_they_are_sliced(
    log: Path, written: bytes, lines: list[bytes], slice_bytes: int
) -> None:
    append(log, written)
    with LogTail(log) as tail:
        assert everything(tail, slice_bytes) == lines


@given(
    data=st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\r", b"\r\n", b"\0"])).map(b"".join), seed=st.integers(0, 99)
)
def test_any_slices_give_what_one_look_gives(tmp_path_factory: pytest.TempPathFactory, data: bytes, seed: int) -> None:
    path = tmp_path_factory.getbasetemp() / "sliced"
    path.write_bytes(data)
    sizes = random.Random(seed)
    found: list[bytes] = []
    with LogTail(path, longest_line_bytes=4) as tail:
        while not tail.caught_up:
            found += tail.read(sizes.randint(1, 5))
        found += tail.finish()
    lines = re.split(rb"\r\n|\r|\n", data)
    if lines[-1] == b"":
        lines.pop()
    assert found == [piece for line in lines for piece in (re.findall(rb"(?s).{1,4}", line) or [b""])]


def test_a_line_without_end_comes_in_pieces_of_bounded_size(log: Path) -> None:
    append(log, b"x" * 10_000 + b"\nshort\n")
    with LogTail(log, longest_line_bytes=1000) as tail:
        lines = everything(tail, 300)
    assert b"".join(lines[:-1]) == b"x" * 10_000
    assert max(map(len, lines)) == 1000
    assert lines[-1] == b"short"


def test_a_slice_bounds_what_is_returned_at_once(log: Path) -> None:
    append(log, numbered(1000))
    with LogTail(log) as tail:
        assert sum(map(len, tail.read(500))) <= 500
        assert not tail.caught_up


def test_reading_goes_on_from_a_position(log: Path) -> None:
    append(log, b"one\ntwo\nthr")
    with LogTail(log) as first:
        assert first.read() == [b"one", b"two"]
        position = first.position
    append(log, b"ee\n")
    with LogTail(log, start=position) as second:
        assert second.read() == [b"three"]


def test_a_truncated_file_is_read_from_its_beginning(log: Path) -> None:
    with LogTail(log) as tail:
        append(log, b"one\ntwo\nthree")
        tail.read()
        log.write_bytes(b"new\n")
        assert tail.read() == [b"new"]


def test_a_log_with_a_bound_gives_every_line_to_its_reader_and_the_middle_back_to_the_disk(
    log: Path, tmp_path: Path
) -> None:
    if not holes_are_supported(tmp_path):
        pytest.skip("this file system makes no holes")
    seen: list[bytes] = []
    with LogTail(log, bound=SMALL) as tail:
        for _ in range(4):
            append(log, numbered(100_000))
            while True:
                seen += tail.read()
                if tail.caught_up:
                    break
    assert b"".join(line + b"\n" for line in seen) == numbered(100_000) * 4
    assert log.stat().st_size > 36_000_000
    assert log.stat().st_blocks * 512 < 6 << 20


def test_a_second_reader_of_a_log_with_a_hole_is_told_of_the_gap_and_gets_whole_lines_only(
    log: Path, tmp_path: Path
) -> None:
    if not holes_are_supported(tmp_path):
        pytest.skip("this file system makes no holes")
    append(log, numbered(200_000))
    with LogTail(log, bound=SMALL) as first:
        everything(first)
    with LogTail(log) as second:
        lines = everything(second)
    notices = [line for line in lines if not line.startswith(b"epoch=")]
    assert notices == [left_out(second.left_out_bytes)]
    assert second.left_out_bytes > 10 << 20
    whole = set(numbered(200_000).splitlines())
    assert [line for line in lines if line not in whole] == notices
    assert lines[-1] == numbered(200_000).splitlines()[-1]


def test_sealing_keeps_head_and_tail_and_says_how_much_is_missing(log: Path) -> None:
    written = numbered(100_000)
    append(log, written)
    missing = seal_log(log, SMALL)
    kept = log.read_bytes()
    head, tail = kept.split(left_out(missing) + b"\n")
    assert written.startswith(head)
    assert written.endswith(tail)
    assert len(head) + missing + len(tail) == len(written)
    assert head.endswith(b"\n")
    assert tail.startswith(b"epoch=")
    assert len(kept) <= SMALL.head_bytes + SMALL.tail_bytes + 256
    assert list(log.parent.iterdir()) == [log]


@pytest.mark.parametrize(
    "written",
    [
        pytest.param(numbered(60_000), id="lines"),
        pytest.param(os.urandom(64).replace(b"\n", b"") * 100_000, id="binary"),
    ],
)
def test_sealing_twice_changes_nothing(log: Path, written: bytes) -> None:
    append(log, written)
    assert seal_log(log, SMALL) > 0
    once = log.read_bytes()
    assert seal_log(log, SMALL) == 0
    assert log.read_bytes() == once


def test_a_log_with_a_hole_is_sealed_like_one_without(log: Path) -> None:
    whole = log.with_name("whole")
    for path in (log, whole):
        append(path, numbered(100_000))
    with LogTail(log, bound=SMALL) as tail:
        everything(tail)
        tail.seal()
    seal_log(whole, SMALL)
    assert log.read_bytes() == whole.read_bytes()


def test_a_log_within_its_bound_is_left_alone(log: Path) -> None:
    append(log, b"one\n")
    assert seal_log(log, SMALL) == 0
    assert log.read_bytes() == b"one\n"


def test_there_may_be_no_log_to_seal(log: Path) -> None:
    assert seal_log(log, SMALL) == 0


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        pytest.param(b"plain\n", "plain", id="plain"),
        pytest.param("naïve ✓".encode(), "naïve ✓", id="unicode"),
        pytest.param(b"\x1b[1;31mred\x1b[0m", "red", id="colours"),
        pytest.param(b"\x1b]0;title\x07text", "text", id="window title"),
        pytest.param(b"\x1b]8;;http://x\x1b\\link", "link", id="hyperlink"),
        pytest.param(b"a\x1b[2Jb", "ab", id="clear screen"),
        pytest.param(b"10%\r100%\r\n", "100%", id="overwritten"),
        pytest.param(b"a\x00\x07\x08b", "a␀␇␈b", id="controls"),
        pytest.param(b"a\tb", "a\tb", id="tabulator"),
        pytest.param(b"\xff\xfe", "\ufffd\ufffd", id="not unicode"),
        pytest.param("\u202eabc".encode(), "\ufffdabc", id="turned around"),
        pytest.param("\x9b31mx".encode(), "\ufffd31mx", id="eight bit escape"),
    ],
)
def test_a_line_is_made_harmless_for_terminals(line: bytes, shown: str) -> None:
    assert printable(line) == shown


@given(st.binary())
def test_nothing_printable_controls_a_terminal(line: bytes) -> None:
    assert not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", printable(line))


def test_the_last_lines_are_shown(log: Path) -> None:
    append(log, b"one\ntwo\nthree\n")
    assert last_lines(log, 2) == "two\nthree"
    assert last_lines(log, 9) == "one\ntwo\nthree"
    assert last_lines(log, 0) == ""


def test_the_last_lines_of_a_large_log_come_without_a_fragment(log: Path) -> None:
    append(log, numbered(10_000))
    shown = last_lines(log, 1000, max_bytes=1000).split("\n")
    assert all(line.startswith("epoch=") for line in shown)
    assert shown[-1].startswith("epoch=00009999")


def test_a_last_line_that_is_too_long_is_shown_from_its_middle(log: Path) -> None:
    append(log, b"x" * 10_000)
    assert last_lines(log, 3, max_bytes=100) == "…" + "x" * 100


def test_no_log_has_no_last_lines(log: Path) -> None:
    assert last_lines(log, 3) == ""


def test_following_gives_lines_as_they_come_and_the_rest_at_the_end(log: Path) -> None:
    steps: Iterator[bytes] = iter([b"one\n", b"two", b"\nthree\n", b"four"])
    over = False

    def wait() -> None:
        nonlocal over
        try:
            append(log, next(steps))
        except StopIteration:
            over = True

    assert list(follow(log, stop=lambda: over, wait=wait)) == [b"one", b"two", b"three", b"four"]


def test_what_is_written_before_the_stop_is_not_missed(log: Path) -> None:
    def stop() -> bool:
        append(log, b"last\n")
        return True

    assert list(follow(log, stop=stop)) == [b"last"]


def test_a_log_is_read_and_freed_while_a_process_writes_it(log: Path) -> None:
    program = "import sys\nfor i in range(400_000): sys.stdout.write(f'epoch={i} loss=0.5 ' + '.' * 70 + '\\n')"
    count = 0
    with open(log, "ab") as out, LogTail(log, bound=SMALL) as tail:
        with subprocess.Popen([sys.executable, "-c", program], stdout=out) as process:
            while process.poll() is None:
                for line in tail.read():
                    assert line.startswith(b"epoch=%d " % count)
                    count += 1
            for lines in tail.drain():
                for line in lines:
                    assert line.startswith(b"epoch=%d " % count)
                    count += 1
        assert tail.seal() > 0
    assert count == 400_000
    assert log.stat().st_size < 4 << 20

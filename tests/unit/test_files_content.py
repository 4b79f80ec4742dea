"""Files to publish: identity, lines, and what is refused with its place."""

from __future__ import annotations

import errno
import gzip
import os
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.files.content import Content, FileChangedError, FileError, identify
from include.files.inbox import InboxError, choose

LINES = b'{"a":1}\n\n  \r\n{"a":2}\r\nno json\n{"a":3}'


def read(path: Path, longest: int = 1_000) -> tuple[list[tuple[int, bytes]], int, str]:
    with Content(path, longest) as content:
        lines = list(content.lines())
        return lines, content.blank, content.finish().digest


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_lines_keep_their_numbers_without_blank_ones_and_ends(tmp_path: Path, name: str) -> None:
    data = gzip.compress(LINES) if name.endswith(".gz") else LINES
    path = written(tmp_path, name, data)
    assert read(path) == (
        [(1, b'{"a":1}'), (4, b'{"a":2}'), (5, b"no json"), (6, b'{"a":3}')],
        2,
        sha256(data).hexdigest(),
    )
    assert identify(path).digest == sha256(data).hexdigest()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.binary(max_size=300), members=st.integers(1, 3))
def test_any_bytes_give_the_same_lines_packed_or_not(tmp_path: Path, data: bytes, members: int) -> None:
    if data[:2] == b"\x1f\x8b":
        return
    cut = len(data) // members + 1
    packed = b"".join(gzip.compress(data[at : at + cut]) for at in range(0, len(data), cut))
    plain = read(written(tmp_path, "a.jsonl", data))
    zipped = read(written(tmp_path, "a.jsonl.gz", packed))
    assert plain[:2] == zipped[:2]
    assert (plain[2], zipped[2]) == (sha256(data).hexdigest(), sha256(packed).hexdigest())
    text = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    expected = [(i, line.removesuffix(b"\r")) for i, line in enumerate(text, 1) if line.strip()]
    assert plain[0] == expected


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    assert read(written(tmp_path, "a.jsonl", b"\xef\xbb\xbf{}\n"))[0] == [(1, b"{}")]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        (
            "cut.jsonl.gz",
            gzip.compress(LINES * 9_000)[:-200],
            r"cut\.jsonl\.gz: its gzip ends early, after line \d+",
        ),
        (
            "torn.jsonl.gz",
            gzip.compress(LINES)[:12] + b"\x00" * 40,
            "torn.jsonl.gz: is broken as gzip after line 0",
        ),
        (
            "crc.jsonl.gz",
            gzip.compress(LINES)[:-8] + b"\x01" * 8,
            "is broken as gzip after line 5: CRC check",
        ),
        ("plain.jsonl.gz", LINES, "plain.jsonl.gz: is broken as gzip after line 0: Not a gzipped file"),
        ("packed.jsonl", gzip.compress(LINES), r"packed\.jsonl: is gzip, but its name does not end in \.gz"),
        (
            "more.jsonl.gz",
            gzip.compress(LINES) + b"more",
            "more.jsonl.gz: is broken as gzip after line 5: Not a gzipped file",
        ),
        ("one.jsonl.gz", gzip.compress(LINES) + b"m", "one.jsonl.gz: is broken as gzip after line 5"),
        ("long.jsonl", b"{}\n" + b"x" * 1_001, "long.jsonl: line 2 is longer than the 1,000 bytes"),
    ],
    ids=[
        *("truncated", "broken", "wrong checksum", "not gzip", "gzip by content"),
        *("trailing garbage", "trailing byte", "long line"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    with pytest.raises(FileError, match=message):
        read(written(tmp_path, name, data))


def test_a_line_of_the_longest_length_is_read(tmp_path: Path) -> None:
    line = b"x" * 1_000
    for mark in (b"", b"\xef\xbb\xbf"):
        data = mark + line + b"\r\n" + line
        assert read(written(tmp_path, "a.jsonl", data))[0] == [(1, line), (2, line)]


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"none\.jsonl: cannot be opened: No such file"):
        read(tmp_path / "none.jsonl")


def test_what_became_a_link_a_pipe_or_a_folder_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    link, pipe = tmp_path / "link.jsonl", tmp_path / "pipe.jsonl"
    link.symlink_to(written(tmp_path, "a.jsonl", LINES))
    os.mkfifo(pipe)
    for path, message in (
        (link, r"link\.jsonl: is a link, and links are not followed"),
        (pipe, r"pipe\.jsonl: is no plain file"),
        (tmp_path, f"{tmp_path.name}: cannot be opened: Is a directory"),
    ):
        with pytest.raises(FileError, match=message):
            identify(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_a_file_that_may_not_be_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = written(tmp_path, name, gzip.compress(LINES))

    def denied(*_: object) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:  # root may open any file
        patch.setattr("include.files.content.os.open", denied)
        with pytest.raises(FileError, match=rf"{name}: cannot be opened: Permission denied"):
            identify(path)
    with monkeypatch.context() as patch:  # as a disk or a network share may
        patch.setattr("include.files.content._Hashing.readinto", denied)
        with pytest.raises(FileError, match=rf"{name}: cannot be read: Permission denied"):
            identify(path)


def changes(path: Path, change: Callable[[], object]) -> str:
    """Return how a file is refused that is changed between its first byte and its end."""
    with Content(path) as content:
        list(content.lines())
        change()
        with pytest.raises(FileChangedError) as caught:
            content.finish()
    return str(caught.value)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "a.jsonl", LINES)
    text = changes(path, lambda: path.write_bytes(LINES + b"{}\n"))
    assert text == (
        f"a.jsonl: changed while it was read ({len(LINES)} bytes before, {len(LINES) + 3} after): "
        "nothing of it was sent; trigger again"
    )


def test_a_file_that_is_touched_replaced_or_removed_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path, other = written(tmp_path, "a.jsonl", LINES), written(tmp_path, "b.jsonl", LINES)
    assert "same size, another time of change" in changes(path, lambda: os.utime(path, ns=(0, 0)))
    assert "another file under its name" in changes(path, lambda: other.rename(path))
    assert "it is gone: No such file" in changes(path, path.unlink)


def test_memory_is_bounded_by_a_line_and_not_by_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "big.jsonl.gz", gzip.compress((b"x" * 999 + b"\n") * 32_000, 1))
    tracemalloc.start()
    try:
        with Content(path) as content:
            assert sum(1 for _ in content.lines()) == 32_000
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 2**20, f"32 MB of lines took {peak:,} bytes"


def test_a_run_takes_plain_files_of_its_stream_by_pattern_and_names_what_it_leaves(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    (folder / "b-dir.jsonl").mkdir(parents=True)
    for name in ("b.jsonl", "a.jsonl.gz", "a.jsonl.part", "c.json", "other.jsonl"):
        written(folder, name, b"{}\n")
    (folder / "a-link.jsonl").symlink_to(folder / "b.jsonl")
    choice = choose(tmp_path, "logs", "[ab]*")
    assert [path.name for path in choice.files] == ["a.jsonl.gz", "b.jsonl"]
    assert choice.left == ("a-link.jsonl", "a.jsonl.part", "b-dir.jsonl", "c.json", "other.jsonl")


def test_hidden_files_are_taken_by_a_pattern_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("._a.jsonl", "a.jsonl"):
        written(tmp_path / "logs", name, b"{}\n")
    for pattern, names in (("*", ["a.jsonl"]), ("*.jsonl", ["a.jsonl"]), (".*", ["._a.jsonl"])):
        assert [path.name for path in choose(tmp_path, "logs", pattern).files] == names, pattern


def test_names_that_cannot_be_shown_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in ("a b\u00e9.part", "a\nb.part", os.fsdecode(b"\xff.part")):
        written(tmp_path / "logs", name, b"{}\n")
    assert set(choose(tmp_path, "logs", "*").left) == {"a b\u00e9.part", r"a\nb.part", r"\udcff.part"}


def test_a_folder_that_leads_out_of_the_inbox_is_refused(tmp_path: Path) -> None:
    inbox, outside = tmp_path / "inbox", tmp_path / "outside"
    for folder in (inbox, outside, inbox / "real"):
        folder.mkdir()
    (inbox / "logs").symlink_to(outside)
    (inbox / "user_events").symlink_to(inbox / "real")
    with pytest.raises(InboxError, match=r"logs is a link to .*/outside, which is not in the inbox"):
        choose(inbox, "logs", "*")
    assert choose(inbox, "user_events", "*").files == ()
    (tmp_path / "other").symlink_to(inbox)
    assert choose(tmp_path / "other", "user_events", "*").files == ()


def test_a_missing_folder_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InboxError, match=r"/logs: No such file or directory: make the folder"):
        choose(tmp_path, "logs", "*")

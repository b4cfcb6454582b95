"""Where structures come from: files, folders and what is below them, archives, the standard input."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from hibana.core.errors import HibanaError
from hibana.structures.errors import BROKEN_ARCHIVE, EMPTY_FOLDER, NO_STRUCTURE, NOT_FOUND, UNREADABLE
from hibana.structures.reading import structure_format

STANDARD_INPUT = Path("-")
ZIP = ".zip"
TAR = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
GZIP_MAGIC = b"\x1f\x8b"
LARGE = 32_000_000
"""Bytes of a JSON file above which its list is read entry by entry; gzipped ones count tenfold."""

READ = 1 << 20
"""Characters read at a time of a large list."""

BETWEEN = re.compile(r"[ \t\r\n,]*")
"""What stands between the entries of a list."""

PieceKind = Literal["cif", "poscar", "json", "jsonl", "passed_over", "broken"]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a source that is read by itself: a file, a line, an entry of a list.

    Parameters
    ----------
    source
        Path; ``archive!member`` of a member of an archive; ``-`` for the standard input.
    kind
        What it is; ``passed_over`` for a file of another kind, ``broken`` for what could not be opened.
    number
        Its place in the source, from 1; 0 if the source is one piece.
    content
        Its bytes; None if the file itself is to be read.
    weight
        Bytes that the reading has come on with it.
    reason
        Why it is passed over.
    error
        Why it is broken.
    """

    source: str
    kind: PieceKind
    number: int = 0
    content: bytes | None = None
    weight: int = 0
    reason: str = ""
    error: HibanaError | None = None


def check_paths(paths: Sequence[Path]) -> None:
    """Refuse paths that do not exist, and folders in which nothing has a name that is read, before anything is read.

    Raises
    ------
    HibanaError
        HIB-014 or HIB-016.
    """
    for path in paths:
        if path == STANDARD_INPUT:
            continue
        if not path.exists():
            raise NOT_FOUND.error(f"{path} does not exist", where=path)
        if path.is_dir() and not any(structure_format(file) or _is_archive(file) for file in _files(path, None)):
            raise EMPTY_FOLDER.error("nor is there one in a folder below, nor a zip or tar archive", where=path)


def total_weight(paths: Sequence[Path], without: Path | None = None) -> int | None:
    """Bytes to read, None where the standard input is among the paths."""
    if STANDARD_INPUT in paths:
        return None
    return sum(file.stat().st_size for path in paths for file in _files(path, without) if file.is_file())


def pieces(paths: Sequence[Path], without: Path | None = None) -> Iterator[Piece]:
    """All pieces of the paths; nothing is left out but what lies below ``without``."""
    for path in paths:
        if path == STANDARD_INPUT:
            yield from _of_stream(sys.stdin.buffer, "-")
            continue
        for file in _files(path, without):
            yield from _guarded(file)


def _files(path: Path, without: Path | None) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    seen: set[str] = set()
    left_out = None if without is None else os.path.realpath(without)
    for folder, folders, names in os.walk(path, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or real == left_out:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(folder) / name for name in sorted(names))


def _guarded(file: Path) -> Iterator[Piece]:
    try:
        yield from _of_file(file)
    except (OSError, EOFError, zipfile.BadZipFile, tarfile.TarError, RuntimeError) as error:
        kind = BROKEN_ARCHIVE if _is_archive(file) else UNREADABLE
        yield Piece(str(file), "broken", error=kind.error(f"it cannot be read on: {error}", where=file))


def _is_archive(file: Path) -> bool:
    return file.name.lower().endswith((ZIP, *TAR))


def _of_file(file: Path) -> Iterator[Piece]:
    source = str(file)
    size = file.stat().st_size
    if file.name.lower().endswith(ZIP):
        with zipfile.ZipFile(file) as archive:
            for member in sorted(archive.infolist(), key=lambda item: item.filename):
                if not member.is_dir():
                    with archive.open(member) as stream:
                        yield from _of_member(stream, source, member.filename, member.compress_size)
    elif file.name.lower().endswith(TAR):
        with tarfile.open(file) as archive:
            for entry in archive:
                content = archive.extractfile(entry) if entry.isfile() else None
                if content is not None:
                    yield from _of_member(content, source, entry.name, entry.size)
    elif (kind := structure_format(file)) is None:
        yield Piece(source, "passed_over", weight=size, reason="the name is of no known kind of structure file")
    elif kind == "jsonl":
        with file.open("rb") as raw:
            yield from _lines(raw, source)
    elif kind == "json" and size * (10 if file.suffix == ".gz" else 1) > LARGE:
        with file.open("rb") as raw:
            yield from _large_json(raw, source)
    else:
        yield Piece(source, kind, weight=size)


def _of_member(stream: IO[bytes], archive: str, name: str, size: int) -> Iterator[Piece]:
    source = f"{archive}!{name}"
    kind = structure_format(Path(name))
    if kind is None:
        nested = name.lower().endswith((ZIP, *TAR))
        reason = "an archive in an archive" if nested else "the name is of no known kind of structure file"
        yield Piece(source, "passed_over", weight=size, reason=reason)
    elif kind == "jsonl":
        yield from _lines(stream, source)
    else:
        content = stream.read()
        yield Piece(source, kind, content=gzip.decompress(content) if content[:2] == GZIP_MAGIC else content, weight=size)


def _of_stream(raw: IO[bytes], source: str) -> Iterator[Piece]:
    """Pieces of a stream without a name: JSON lines if its first line is JSON by itself."""
    stream = _unpacked(raw)
    first = stream.readline()
    while first and not first.strip():
        first = stream.readline()
    if not first:
        yield Piece(source, "broken", error=NO_STRUCTURE.error("it is empty", where=source))
        return
    if first.lstrip()[:1] in (b"{", b"["):
        if _is_json(first):
            yield Piece(source, "jsonl", 1, first, len(first))
            yield from _numbered(stream, source, 2)
        else:
            yield Piece(source, "json", content=first + stream.read())
        return
    content = first + stream.read()
    kind: PieceKind = "cif" if re.search(rb"^\s*data_", content, re.MULTILINE | re.IGNORECASE) else "poscar"
    yield Piece(source, kind, content=content)


def _lines(raw: IO[bytes], source: str) -> Iterator[Piece]:
    is_empty = True
    for piece in _numbered(_unpacked(raw), source, 1, raw):
        is_empty = False
        yield piece
    if is_empty:
        yield Piece(source, "broken", error=NO_STRUCTURE.error("the file is empty", where=source))


def _numbered(stream: IO[bytes], source: str, first: int, raw: IO[bytes] | None = None) -> Iterator[Piece]:
    read = 0
    for number, line in enumerate(stream, first):
        if line.strip():
            place = raw.tell() if raw is not None else read + len(line)
            yield Piece(source, "jsonl", number, line, place - read)
            read = place


def _unpacked(raw: IO[bytes]) -> IO[bytes]:
    buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(raw)  # type: ignore[arg-type]
    return gzip.GzipFile(fileobj=buffered) if buffered.peek(2)[:2] == GZIP_MAGIC else buffered  # type: ignore[return-value]


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _large_json(raw: IO[bytes], source: str) -> Iterator[Piece]:
    """Entries of a list one by one; another JSON value as a whole."""
    text = io.TextIOWrapper(_unpacked(raw), encoding="utf-8")  # type: ignore[arg-type]
    buffer = text.read(READ).lstrip()
    if not buffer.startswith("["):
        yield Piece(source, "json", content=(buffer + text.read()).encode())
        return
    decoder, number, read, place = json.JSONDecoder(), 0, 0, 1
    while True:
        gap = BETWEEN.match(buffer, place)
        place = gap.end() if gap else place
        if buffer.startswith("]", place):
            return
        try:
            _, end = decoder.raw_decode(buffer, place)
        except json.JSONDecodeError as error:
            more = text.read(max(READ, len(buffer) - place))
            if not more:
                what = f"not JSON after entry {number}: {error.msg}"
                yield Piece(source, "broken", number + 1, error=UNREADABLE.error(what, where=source))
                return
            buffer, place = buffer[place:] + more, 0
            continue
        number += 1
        yield Piece(source, "jsonl", number, buffer[place:end].encode(), raw.tell() - read)
        read, place = raw.tell(), end

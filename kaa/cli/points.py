"""Files of points: one row a value, in CSV or Parquet, with the same columns; read and written by the piece."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from kaa.core.errors import KaaError

COLUMNS = ("endpointId", "timeSeriesName", "timestamp", "valueName", "type", "value")
FORMATS = ("csv", "parquet")
Value = bool | int | float | str | None

_NEEDED = frozenset(COLUMNS) - {"type"}
_PIECE = 2_000
_GROUP = 100_000
_INTEGER = re.compile(r"[+-]?\d{1,400}")
_REAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
_BOOLEANS = {"true": True, "false": False}
_NO_PARQUET = "Parquet needs pyarrow, which is not installed; install it with: pip install 'kaa[parquet]'"


class FileError(KaaError):
    """A file of points cannot be read or written; the sentence says where and why."""


class Row(NamedTuple):
    """One value of a point, as text: `kind` is integer, real, boolean, text or null."""

    endpoint_id: str
    series: str
    timestamp: str
    value_name: str
    kind: str
    value: str


class Numbered(NamedTuple):
    """One value of a point that was read, and where it stands in the file: a line of CSV, a row of Parquet."""

    number: int
    endpoint_id: str
    series: str
    timestamp: str | int
    value_name: str
    value: Value


class RowWriter(Protocol):
    """Takes rows."""

    def write(self, rows: Sequence[Row]) -> None:
        """Write them."""


def format_of(file: Path | None, given: str | None) -> str:
    """Tell the format: the one that was given, or else what the name of the file says; FileError if it cannot be."""
    found = given or ("parquet" if file is not None and file.suffix.lower() in {".parquet", ".pq"} else "csv")
    if found == "parquet" and find_spec("pyarrow") is None:
        raise FileError(_NO_PARQUET)
    return found


@contextmanager
def writing(out: BinaryIO, format_: str) -> Iterator[RowWriter]:
    """Write rows to a file while the block lasts."""
    if format_ == "csv":
        yield _CsvWriter(out)
        return
    writer = _ParquetWriter(out)
    yield writer
    writer.finish()


class _CsvWriter:
    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._out.write((",".join(COLUMNS) + "\n").encode())

    def write(self, rows: Sequence[Row]) -> None:
        # what stands before the value has no comma, quote or line in its alphabet
        lines = [
            f"{row.endpoint_id},{row.series},{row.timestamp},{row.value_name},{row.kind},{_quoted(row)}\n"
            for row in rows
        ]
        self._out.write("".join(lines).encode())


def _quoted(row: Row) -> str:
    return '"' + row.value.replace('"', '""') + '"' if row.kind == "text" else row.value


class _ParquetWriter:
    def __init__(self, out: BinaryIO) -> None:
        import pyarrow as pa  # noqa: PLC0415  large, and an extra
        from pyarrow import parquet  # noqa: PLC0415  as above

        types = {name: pa.timestamp("us", tz="UTC") if name == "timestamp" else pa.string() for name in COLUMNS}
        self._pa, self._schema = pa, pa.schema(list(types.items()))
        self._writer = parquet.ParquetWriter(out, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def write(self, rows: Sequence[Row]) -> None:
        self._rows += rows
        if len(self._rows) >= _GROUP:
            self._flush()

    def finish(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns: list[Sequence[Any]] = list(zip(*self._rows, strict=True)) if self._rows else [()] * len(COLUMNS)
        at = COLUMNS.index("timestamp")
        columns[at] = [datetime.fromisoformat(text) for text in columns[at]]
        kinds, values = columns[COLUMNS.index("type")], columns[COLUMNS.index("value")]
        columns[-1] = [None if kind == "null" else value for kind, value in zip(kinds, values, strict=True)]
        self._writer.write_table(self._pa.table([*map(list, columns)], schema=self._schema))
        self._rows.clear()


def read_rows(file: Path, format_: str, advance: Callable[[int], None]) -> Iterator[Numbered]:
    """Yield the rows of a file.

    Args:
        file: the file.
        format_: csv or parquet.
        advance: is told how many bytes have been read.

    Raises:
        FileError: it cannot be read; the sentence names the line or row.
    """
    try:
        yield from (_read_csv if format_ == "csv" else _read_parquet)(file, advance)
    except OSError as error:
        raise FileError(f"{file} cannot be read: {error.strerror or error}") from error


class _Counted(io.RawIOBase):
    def __init__(self, source: BinaryIO, advance: Callable[[int], None]) -> None:
        self._source, self._advance = source, advance

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._source.read(len(buffer))
        buffer[: len(data)] = data
        self._advance(len(data))
        return len(data)


def _read_csv(file: Path, advance: Callable[[int], None]) -> Iterator[Numbered]:
    with file.open("rb") as source:
        text = io.TextIOWrapper(io.BufferedReader(_Counted(source, advance), 1 << 16), "utf-8-sig", newline="")
        reader = csv.reader(text, strict=True)
        try:
            header = next(reader, [])
            _check_columns(header, f"{file}, line 1")
            places = [header.index(name) if name in header else -1 for name in COLUMNS]
            for cells in reader:
                if not cells:  # an empty line
                    continue
                where = f"{file}, line {reader.line_num}"
                if len(cells) != len(header):
                    raise FileError(f"{where}: it has {len(cells)} columns, and the first line has {len(header)}")
                endpoint_id, series, timestamp, name, kind, value = (cells[at] if at >= 0 else "" for at in places)
                made = _value(value, kind, where)
                yield Numbered(reader.line_num, endpoint_id, series, timestamp, name, made)
        except csv.Error as error:
            raise FileError(f"{file}, line {reader.line_num}: it is no CSV: {error}") from error
        except UnicodeDecodeError as error:
            raise FileError(f"{file}, after line {reader.line_num}: it is not in UTF-8") from error
        finally:
            text.detach()


def _read_parquet(file: Path, advance: Callable[[int], None]) -> Iterator[Numbered]:
    import pyarrow as pa  # noqa: PLC0415  large, and an extra
    from pyarrow import parquet  # noqa: PLC0415  as above

    try:
        with parquet.ParquetFile(file) as source:
            names = source.schema_arrow.names
            _check_columns(names, str(file))
            rows, size, number = max(source.metadata.num_rows, 1), file.stat().st_size, 0
            wanted = [name for name in COLUMNS if name in names]
            for batch in source.iter_batches(_PIECE, columns=wanted):
                columns = {name: _cells(batch.column(name), name, pa) for name in wanted}
                kinds = columns.get("type", [""] * batch.num_rows)
                for at in range(batch.num_rows):
                    number += 1
                    where = f"{file}, row {number}"
                    endpoint_id, series, timestamp, name = (columns[key][at] for key in COLUMNS[:4])
                    if timestamp is None or not all(isinstance(text, str) for text in (endpoint_id, series, name)):
                        raise FileError(f"{where}: a column other than value and type is empty, or not of text")
                    made = _value(columns["value"][at], kinds[at] or "", where)
                    yield Numbered(number, endpoint_id, series, timestamp, name, made)
                advance(size * batch.num_rows // rows)
    except pa.ArrowException as error:
        raise FileError(f"{file} cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def _cells(column: Any, name: str, pa: Any) -> list[Any]:
    """Give the cells of a column; times as text."""
    if not pa.types.is_timestamp(column.type):
        return list(column.to_pylist())
    if name != "timestamp":
        raise FileError(f"the column {name} holds times")
    found = column.cast(pa.timestamp("us", tz=column.type.tz)).to_pylist()
    return [
        None if at is None else (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC).isoformat()
        for at in found
    ]


def _check_columns(names: Sequence[str], where: str) -> None:
    missing, strange = [n for n in COLUMNS if n in _NEEDED and n not in names], [n for n in names if n not in COLUMNS]
    if missing or strange or len(set(names)) < len(names):
        wrong = f"it lacks {', '.join(missing)}" if missing else f"it has {', '.join(strange) or 'one twice'}"
        raise FileError(f"{where}: the columns have to be {', '.join(COLUMNS)} (type may be left away); {wrong}")


def _value(given: Any, kind: str, where: str) -> Value:
    """Give the value that a cell stands for; one that says no kind is a number, true or false if it looks like one."""
    if not kind and not isinstance(given, str):
        if given is None or isinstance(given, (bool, int)) or (isinstance(given, float) and isfinite(given)):
            return given
        raise FileError(f"{where}: {given!r} is no value that can be kept")
    text = "" if given is None else str(given)
    if kind == "text" or (kind == "null" and not text):
        return text if kind == "text" else None
    if kind in {"", "boolean"} and text in _BOOLEANS:
        return _BOOLEANS[text]
    if kind in {"", "integer"} and _INTEGER.fullmatch(text):
        return int(text)
    if kind in {"", "real"} and _REAL.fullmatch(text) and isfinite(found := float(text)):
        return found
    if kind:
        raise FileError(f"{where}: {text[:80]!r} is no {kind}; there are integer, real, boolean, text and null")
    return text or None

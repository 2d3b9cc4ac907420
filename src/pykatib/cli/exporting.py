"""Records of Trials as CSV, JSON or Parquet."""

import io
from collections.abc import Sequence
from typing import Any

from pykatib.api.errors import NotSupported
from pykatib.cli.results import record_columns
from pykatib.cli.shapes import as_csv, as_json


def content_of(records: Sequence[dict[str, Any]], output: str) -> bytes:
    """The bytes of a file. Raises NotSupported where pyarrow is missing."""
    if output == "parquet":
        return _parquet(records)
    if output == "json":
        return (as_json(list(records)) + "\n").encode()
    header = record_columns(records)
    rows = [["" if (value := record.get(column)) is None else value for column in header] for record in records]
    return as_csv(header, rows).encode()


def _parquet(records: Sequence[dict[str, Any]]) -> bytes:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise NotSupported(
            "Parquet needs pyarrow: pip install 'pykatib[parquet]'; csv and json need nothing"
        ) from error
    columns = {column: _of_one_type([record.get(column) for record in records]) for column in record_columns(records)}
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue()


def _of_one_type(values: list[Any]) -> list[Any]:
    """A column's values, as text or as numbers throughout."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int} or kinds <= {str}:
        return values
    if kinds <= {int, float}:
        return [None if value is None else float(value) for value in values]
    return [None if value is None else str(value) for value in values]

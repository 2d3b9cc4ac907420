"""Metric logs as messages: rows of tables and values of the API to `ObservationLog` and back.

Times are RFC 3339 in UTC as Katib writes them: as many digits of the second as there are, up to nanoseconds read and
microseconds written.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.shared import MetricLog
from pykatib.rpc import messages
from pykatib.store.log_row import LogRow, row_of

_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)

_USUAL_MARKS = ("--T::.", "--T::Z")  # every third character of 2026-01-31T08:00:00.5Z, from the fifth on


def moment_from(text: str, *, path: str) -> datetime:
    """The moment that an RFC 3339 text names, in UTC without a zone; digits beyond the microsecond are cut off.

    Raises:
        InvalidInput: it is no RFC 3339.
    """
    found = _RFC3339.fullmatch(text)
    try:
        if found is None:
            raise ValueError(text)
        moment = datetime.fromisoformat(text)
        if found[3] != "Z":
            moment = moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            [FieldError(path, f"must be a time of RFC 3339, as 2026-01-31T08:00:00.5Z; found {text!r}")]
        ) from error
    return moment.replace(tzinfo=None)


def text_of(moment: datetime) -> str:
    """The RFC 3339 text of a moment in UTC."""
    text = moment.isoformat()
    return f"{text.rstrip('0')}Z" if moment.microsecond else f"{text}Z"


def rows_from(log: messages.ObservationLog) -> list[LogRow]:
    """The rows of a message. As in Katib, an entry without a time is none.

    Raises:
        InvalidInput: a time is no RFC 3339.
    """
    rows: list[LogRow] = []
    add = rows.append
    last, moment = "", datetime.min
    for index, entry in enumerate(log.metric_logs):
        stamp = entry.time_stamp
        if not stamp:
            continue
        if stamp != last:
            moment = _moment(stamp) or moment_from(stamp, path=f"observation_log.metric_logs[{index}].time_stamp")
            last = stamp
        metric = entry.metric
        add(LogRow(moment, metric.name, metric.value))
    return rows


def _moment(text: str) -> datetime | None:
    # What nearly everybody writes, read in a third of the time.
    if text[4:20:3] in _USUAL_MARKS and text[-1] == "Z":
        try:
            moment = datetime.fromisoformat(text[:-1])
        except ValueError:
            return None
        return moment if moment.tzinfo is None else None
    return None


def fill(log: messages.ObservationLog, rows: Iterable[LogRow]) -> None:
    """Adds rows to a message."""
    add = log.metric_logs.add
    for at, name, value in rows:
        entry = add()
        entry.time_stamp = text_of(at)
        metric = entry.metric
        metric.name = name
        metric.value = value


def log_message(rows: Sequence[LogRow]) -> messages.ObservationLog:
    """The message of rows."""
    log = messages.ObservationLog()
    fill(log, rows)
    return log


def report_request(trial_name: str, logs: Sequence[MetricLog]) -> messages.ReportObservationLogRequest:
    """A report of logs.

    Raises:
        InvalidInput: something cannot be said on the wire: a time in no calendar, a text that is no Unicode.
    """
    try:
        return messages.ReportObservationLogRequest(
            trial_name=trial_name,
            observation_log=log_message([row_of(log) for log in logs]),
        )
    except (TypeError, ValueError) as error:
        raise InvalidInput([FieldError("", str(error))], source=f"a report of Trial {trial_name}") from error

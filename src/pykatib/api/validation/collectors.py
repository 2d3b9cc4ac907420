"""Rules of the metrics collector: kind, source, and the expressions that find metrics.

Katib returns early for StdOut and never looks at its filters; here they are checked for every kind that has lines.
"""

import re
import warnings
from collections.abc import Callable, Collection, Iterator
from typing import TypeAlias

import msgspec

from pykatib.api import names
from pykatib.api.errors import FieldError
from pykatib.api.job import Container
from pykatib.api.schema_walk import decode_tree, did_you_mean, shown
from pykatib.api.shared import HTTPGet, MetricsCollectorSpec, SourceSpec

PATH = "spec.metricsCollectorSpec"
COLLECTOR_KINDS = names.COLLECTOR_KINDS

FilterCheck: TypeAlias = Callable[[str], str | None]
"""Says what is wrong with a `metricsFormat` expression, None where nothing is."""


def check_filter(pattern: str) -> str | None:
    """A filter check where no collector is at hand: it compiles, and has a group for the name and one for the value."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            groups = re.compile(pattern, re.ASCII).groups
    except (re.error, RecursionError, OverflowError) as error:
        return f"{shown(pattern)} is not a regular expression: {error}"
    if groups < 2:
        return f"{shown(pattern)} has {groups} group(s), wanted two: the metric's name and its value"
    return None


def check_collector(
    metrics: MetricsCollectorSpec | None, *, supported: Collection[str], filter_check: FilterCheck
) -> Iterator[FieldError]:
    """Everything about `spec.metricsCollectorSpec`."""
    if metrics is None:
        return
    kind, source = metrics.kind, metrics.source or SourceSpec()
    if kind not in supported:
        known = ", ".join(supported)
        hint = did_you_mean(kind, supported)
        yield FieldError(f"{PATH}.collector.kind", f"found {shown(kind)}, wanted one of {known}{hint}")
        return
    if kind == names.FILE:
        yield from _check_file(source)
    elif kind == names.TENSORFLOW_EVENT:
        yield from _check_event_folder(source)
    elif kind == names.PROMETHEUS_METRIC:
        yield from _check_scrape(source.http_get or HTTPGet())
    elif kind == names.CUSTOM:
        yield from _check_custom(metrics, source)
    if source.filter is not None:
        for index, pattern in enumerate(source.filter.metrics_format):
            problem = filter_check(pattern)
            if problem is not None:
                yield FieldError(f"{PATH}.source.filter.metricsFormat[{index}]", problem)


def _check_file(source: SourceSpec) -> Iterator[FieldError]:
    path, file = f"{PATH}.source.fileSystemPath", source.file_system_path
    if file is None:
        yield FieldError(path, "is required: the file that holds the metrics")
        return
    if file.kind != "File":
        yield FieldError(f"{path}.kind", f'found {shown(file.kind)}, wanted "File" for a File collector')
    yield from _check_absolute(file.path, f"{path}.path")
    if file.format not in ("TEXT", "JSON"):
        yield FieldError(
            f"{path}.format",
            f'found {shown(file.format)}, wanted "TEXT" or "JSON"{did_you_mean(file.format, ("TEXT", "JSON"))}',
        )
    if file.format == "JSON" and source.filter is not None:
        yield FieldError(f"{PATH}.source.filter", "JSON lines need no filter; leave it out, or say `format: TEXT`")


def _check_absolute(text: str, path: str) -> Iterator[FieldError]:
    if not text.startswith("/"):
        yield FieldError(path, f"found {shown(text)}, wanted a path that starts with /")


def _check_event_folder(source: SourceSpec) -> Iterator[FieldError]:
    path, folder = f"{PATH}.source.fileSystemPath", source.file_system_path
    if folder is None:
        yield FieldError(path, "is required: the folder that holds the event files")
        return
    if folder.kind != "Directory":
        yield FieldError(f"{path}.kind", f'found {shown(folder.kind)}, wanted "Directory" for TensorFlow events')
    yield from _check_absolute(folder.path, f"{path}.path")
    if folder.format:
        yield FieldError(f"{path}.format", f"found {shown(folder.format)}; event files have no format: leave it out")


def _check_scrape(scrape: HTTPGet) -> Iterator[FieldError]:
    path = f"{PATH}.source.httpGet"
    text = str(scrape.port if scrape.port is not None else "")
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 0 < int(text) < 65536):
        yield FieldError(f"{path}.port", f"found {shown(scrape.port)}, wanted a number from 1 to 65535")
    if not scrape.path.startswith("/"):
        yield FieldError(f"{path}.path", f"found {shown(scrape.path)}, wanted a path that starts with /")


def _check_custom(metrics: MetricsCollectorSpec, source: SourceSpec) -> Iterator[FieldError]:
    path = f"{PATH}.collector.customCollector"
    raw = bytes(metrics.collector.custom_collector) if metrics.collector is not None else b""
    if not raw:
        yield FieldError(path, "is required for a Custom collector: the container that collects")
    else:
        container, errors = decode_tree(msgspec.json.decode(raw), Container, path=path)
        yield from errors
        if container is not None and not container.image:
            yield FieldError(f"{path}.image", "is required: the image that collects")
    file = source.file_system_path
    if file is not None:
        if file.kind not in ("File", "Directory"):
            yield FieldError(
                f"{PATH}.source.fileSystemPath.kind", f'found {shown(file.kind)}, wanted "File" or "Directory"'
            )
        yield from _check_absolute(file.path, f"{PATH}.source.fileSystemPath.path")

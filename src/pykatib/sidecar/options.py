"""The sidecar's arguments: Katib's, so that it can stand in for Katib's images, and a few of our own.

Katib's are read as Go reads them: `-t name`, `-t=name` and `--t name` are the same. Where Katib's own controller starts
the sidecar, `--kind` is absent; a `-format` then tells files of lines from folders of events, as Katib has an image
for each.
"""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from pykatib.api import names
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.shared import (
    CollectorSpec,
    EarlyStoppingRule,
    FileSystemPath,
    HTTPGet,
    MetricsCollectorSpec,
    MetricsFilter,
    ObjectiveSpec,
    SourceSpec,
)

HELP: Final = """\
usage: katib-metrics-collector -t TRIAL -m METRIC[;METRIC...] -s-db HOST:PORT [option value ...]

Katib's options:
  -t TRIAL                  name of the Trial
  -m NAMES                  metrics, the objective's first, with ; between
  -o-type TYPE              minimize or maximize
  -s-db ADDRESS             the DB manager, HOST:PORT
  -path PATH                file or folder of the metrics
  -format FORMAT            TEXT or JSON
  -f EXPRESSIONS            filters of lines, with ; between
  -stop-rule RULE           NAME;VALUE;COMPARISON;START_STEP, once a rule
  -s-earlystop ADDRESS      where a stopped Trial is announced
  -p DURATION               how often to read, as 1s or 500ms (1s)
  -timeout DURATION         when to give up on the program (0: never)
  -w BOOLEAN                whether to wait for all processes, not for the main one alone (true)
Options of pykatib:
  --kind KIND               StdOut, File, TensorFlowEvent or PrometheusMetric
  --namespace NAMESPACE     namespace of the Trial
  --control FOLDER          folder that is shared with the wrapped program
  --unwrapped BOOLEAN       the program is not wrapped, but shares its processes (false)
  --restarts BOOLEAN        the kubelet starts a failed program again (false)
  --filter EXPRESSION       a filter of lines; may be repeated
  --http-get JSON           where to ask for PrometheusMetric
  --patience DURATION       how long to wait for the DB manager at the end (1h)
"""

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|[smh]))+", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|[smh])", re.ASCII)
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_REPEATED = ("stop-rule", "filter")
_KNOWN = (
    *("t", "m", "o-type", "s-db", "path", "format", "f", "s-earlystop", "p", "timeout", "w"),
    *("kind", "namespace", "control", "unwrapped", "restarts", "http-get", "patience"),
)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What the sidecar is to do."""

    trial_name: str
    objective: ObjectiveSpec
    collector: MetricsCollectorSpec
    path: str
    db_manager_address: str
    namespace: str = ""
    rules: tuple[EarlyStoppingRule, ...] = ()
    early_stopping_address: str = ""
    poll_seconds: float = 1.0
    timeout_seconds: float = 0.0
    waits_for_all: bool = True
    control_folder: str = ""
    is_unwrapped: bool = False
    restarts: bool = False
    patience_seconds: float = 3600.0


def read_options(arguments: Sequence[str]) -> Options:
    """The options that arguments state.

    Raises:
        InvalidInput: every argument that cannot be followed, and what is missing.
    """
    errors: list[FieldError] = []
    single, repeated = _by_name(arguments, errors)
    reader = _Reader(single, errors)
    metric_names = tuple(name for name in single.get("m", "").split(";") if name)
    for name, meaning in (("t", "the Trial's name"), ("m", "the metrics"), ("s-db", "the DB manager's address")):
        if not single.get(name):
            errors.append(FieldError(f"-{name}", f"is required: {meaning}"))
    collector = _collector(single, repeated["filter"], errors)
    path = single.get("path", "")
    if collector.kind != names.PROMETHEUS_METRIC and not path:
        errors.append(FieldError("-path", f"is required for {collector.kind}"))
    if collector.kind == names.PROMETHEUS_METRIC and not single.get("control"):
        errors.append(FieldError("--control", "is required for PrometheusMetric"))
    rules = tuple(_rules(repeated["stop-rule"], errors))
    if repeated["stop-rule"] and not single.get("s-earlystop"):
        errors.append(FieldError("-s-earlystop", "is required with -stop-rule"))
    options = Options(
        trial_name=single.get("t", ""),
        objective=ObjectiveSpec(
            type=reader.one_of("o-type", names.MINIMIZE, names.MAXIMIZE),
            objective_metric_name=metric_names[0] if metric_names else "",
            additional_metric_names=metric_names[1:],
        ),
        collector=collector,
        path=path,
        db_manager_address=single.get("s-db", ""),
        namespace=single.get("namespace", ""),
        rules=rules,
        early_stopping_address=single.get("s-earlystop", ""),
        poll_seconds=reader.seconds("p", 1.0) or 1.0,
        timeout_seconds=reader.seconds("timeout", 0.0),
        waits_for_all=reader.is_true("w", default=True),
        control_folder=single.get("control", ""),
        is_unwrapped=reader.is_true("unwrapped", default=False),
        restarts=reader.is_true("restarts", default=False),
        patience_seconds=reader.seconds("patience", 3600.0),
    )
    if errors:
        raise InvalidInput(errors)
    return options


def _by_name(arguments: Sequence[str], errors: list[FieldError]) -> tuple[dict[str, str], dict[str, list[str]]]:
    single: dict[str, str] = {}
    repeated: dict[str, list[str]] = {name: [] for name in _REPEATED}
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        name, has_value, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or name not in (*_KNOWN, *_REPEATED):
            errors.append(FieldError(word.partition("=")[0], "is no argument of the collector; --help lists them"))
            if word.startswith("-") and not has_value and rest and not rest[0].startswith("-"):
                rest.pop(0)
            continue
        if not has_value:
            if not rest:
                errors.append(FieldError(word, "has no value"))
                continue
            value = rest.pop(0)
        if name in repeated:
            repeated[name].append(value)
        else:
            single[name] = value
    return single, repeated


class _Reader:
    def __init__(self, texts: dict[str, str], errors: list[FieldError]) -> None:
        self._texts, self._errors = texts, errors

    def one_of(self, name: str, *choices: str) -> str:
        text = self._texts.get(name, choices[0])
        if text not in choices:
            self._errors.append(FieldError(f"-{name}", f"found {text!r}, wanted {' or '.join(choices)}"))
        return text

    def is_true(self, name: str, *, default: bool) -> bool:
        text = self._texts.get(name)
        if text is None:
            return default
        if text.lower() not in ("true", "false", "1", "0"):
            self._errors.append(FieldError(f"-{name}", f"found {text!r}, wanted true or false"))
        return text.lower() in ("true", "1")

    def seconds(self, name: str, default: float) -> float:
        text = self._texts.get(name)
        if text is None:
            return default
        if text.isascii() and text.isdigit():  # Katib's collector of events takes plain seconds
            return float(text)
        if _DURATION.fullmatch(text) is None:
            self._errors.append(FieldError(f"-{name}", f"found {text!r}, wanted a duration such as 1s or 500ms"))
            return default
        return sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))


def _collector(single: dict[str, str], filters: list[str], errors: list[FieldError]) -> MetricsCollectorSpec:
    file_format = single.get("format", "")
    kind = single.get("kind") or (names.FILE if file_format else names.TENSORFLOW_EVENT)
    kinds = (names.STDOUT, names.FILE, names.TENSORFLOW_EVENT, names.PROMETHEUS_METRIC)
    if kind not in kinds:
        errors.append(FieldError("--kind", f"found {kind!r}, wanted one of {', '.join(kinds)}"))
    if file_format not in ("", "TEXT", "JSON"):
        errors.append(FieldError("-format", f"found {file_format!r}, wanted TEXT or JSON"))
    http_get = None
    if single.get("http-get"):
        try:
            http_get = msgspec.json.decode(single["http-get"], type=HTTPGet)
        except msgspec.MsgspecError as error:
            errors.append(FieldError("--http-get", str(error)))
    patterns = (*(pattern for pattern in single.get("f", "").split(";") if pattern), *filters)
    source = SourceSpec(
        http_get=http_get,
        file_system_path=FileSystemPath(path=single.get("path", ""), format=file_format),
        filter=MetricsFilter(metrics_format=patterns) if patterns else None,
    )
    return MetricsCollectorSpec(source=source, collector=CollectorSpec(kind=kind))


def _rules(texts: Sequence[str], errors: list[FieldError]) -> list[EarlyStoppingRule]:
    rules = []
    for text in texts:
        parts = text.rsplit(";", 3)
        if len(parts) == 4 and parts[3].isascii() and parts[3].isdigit():
            rules.append(EarlyStoppingRule(parts[0], parts[1], parts[2], int(parts[3])))
        else:
            errors.append(FieldError("-stop-rule", f"found {text!r}, wanted NAME;VALUE;COMPARISON;START_STEP"))
    return rules

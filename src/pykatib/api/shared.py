"""Values that several kinds share: objective, algorithm, assignments, observations, collectors."""

import msgspec

from pykatib.api.meta import Value


class Setting(Value, frozen=True, omit_defaults=False):
    """One algorithm setting, both sides text."""

    name: str
    value: str = ""


class AlgorithmSpec(Value, frozen=True):
    """The search algorithm and its settings."""

    algorithm_name: str = ""
    algorithm_settings: tuple[Setting, ...] = ()


class EarlyStoppingSpec(Value, frozen=True):
    """The early stopping algorithm and its settings."""

    algorithm_name: str = ""
    algorithm_settings: tuple[Setting, ...] = ()


class EarlyStoppingRule(Value, frozen=True, omit_defaults=False):
    """A Trial is stopped once its metric compares so with `value`, from report number `start_step` on."""

    name: str
    value: str
    comparison: str
    start_step: int = 0


class MetricStrategy(Value, frozen=True, omit_defaults=False):
    """Which of a metric's values counts: `min`, `max` or `latest`."""

    name: str
    value: str


class ObjectiveSpec(Value, frozen=True):
    """What is optimised. `goal` ends the Experiment as soon as a Trial reaches it."""

    type: str = ""
    goal: float | None = None
    objective_metric_name: str = ""
    additional_metric_names: tuple[str, ...] = ()
    metric_strategies: tuple[MetricStrategy, ...] = ()

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The objective's metric, then the additional ones."""
        return (self.objective_metric_name, *self.additional_metric_names)

    def strategy_of(self, metric_name: str) -> str | None:
        """The strategy of a metric, or None where none is stated."""
        for strategy in self.metric_strategies:
            if strategy.name == metric_name:
                return strategy.value
        return None


class ParameterAssignment(Value, frozen=True, omit_defaults=False):
    """A parameter and the value that a Trial gives it, as text."""

    name: str
    value: str


class Metric(Value, frozen=True, omit_defaults=False):
    """A metric of a Trial; texts, `unavailable` where nothing is known."""

    name: str
    min: str
    max: str
    latest: str


class MetricValue(Value, frozen=True, omit_defaults=False):
    """The one value of a metric that counts, by its strategy, as text (pykatib's own)."""

    name: str
    value: str


class Observation(Value, frozen=True):
    """The metrics of a Trial, one entry a name."""

    metrics: tuple[Metric, ...] = ()

    def metric(self, name: str) -> Metric | None:
        """The entry of a metric, or None."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        return None


class MetricLog(msgspec.Struct, frozen=True, gc=False):
    """One reported value: `time` in seconds since the epoch (0.0 where the report named none), `value` as text."""

    time: float
    name: str
    value: str


class FileSystemPath(Value, frozen=True):
    """Where a file collector reads. `kind` is `File` or `Directory`, `format` is `TEXT` or `JSON`."""

    path: str = ""
    kind: str = ""
    format: str = ""


class HTTPHeader(Value, frozen=True):
    """A header of a scrape."""

    name: str
    value: str = ""


class HTTPGet(Value, frozen=True):
    """Where the PrometheusMetric collector scrapes."""

    path: str = ""
    port: int | str | None = None
    host: str = ""
    scheme: str = ""
    http_headers: tuple[HTTPHeader, ...] = ()


class MetricsFilter(Value, frozen=True):
    """Regular expressions of the metric lines: first group the name, second the value."""

    metrics_format: tuple[str, ...] = ()


class SourceSpec(Value, frozen=True):
    """Where a collector finds metrics."""

    http_get: HTTPGet | None = None
    file_system_path: FileSystemPath | None = None
    filter: MetricsFilter | None = None


class CollectorSpec(Value, frozen=True):
    """How metrics are collected; `custom_collector` is a core/v1 Container, kept as its author wrote it."""

    kind: str = ""
    custom_collector: msgspec.Raw = msgspec.Raw()


class MetricsCollectorSpec(Value, frozen=True):
    """Source and collector of a Trial's metrics."""

    source: SourceSpec | None = None
    collector: CollectorSpec | None = None

    @property
    def kind(self) -> str:
        """The collector's kind, StdOut where nothing is said."""
        return (self.collector.kind if self.collector is not None else "") or "StdOut"

"""The descriptions of the early stopping methods that come with pykatib, one entry each."""

from collections.abc import Sequence

from pykatib.algorithms.description import SettingInfo, Settings, nearest
from pykatib.algorithms.stopping.asha import AshaStop
from pykatib.algorithms.stopping.curve import Watched
from pykatib.algorithms.stopping.description import StoppingInfo
from pykatib.algorithms.stopping.hyperband import HyperbandStop
from pykatib.algorithms.stopping.median import MedianStop
from pykatib.algorithms.stopping.patience import PatienceStop
from pykatib.algorithms.stopping.threshold import ThresholdStop
from pykatib.api import names
from pykatib.api.errors import FieldError
from pykatib.api.shared import ObjectiveSpec

METRIC_SETTINGS = (
    SettingInfo(
        name="metric",
        kind="text",
        help="The metric that it looks at, one of the Experiment's. Without it the objective's.",
    ),
    SettingInfo(
        name="type",
        kind="text",
        choices=(names.MINIMIZE, names.MAXIMIZE),
        help="Which way that metric gets better. Without it as the objective.",
    ),
)
FACTOR = SettingInfo(
    name="reduction_factor",
    kind="int",
    default=3,
    at_least=2,
    help="One in so many goes on from a rung, and the next rung is so many times as far.",
)


def _start_step(default: int, text: str) -> SettingInfo:
    return SettingInfo(name="start_step", kind="int", default=default, at_least=1, help=text)


def _int(settings: Settings, name: str) -> int:
    value = settings[name]
    assert isinstance(value, int), "read as one, and checked"
    return value


def _watched(objective: ObjectiveSpec, settings: Settings) -> Watched:
    metric = str(settings["metric"] or objective.objective_metric_name)
    way = settings["type"] or objective.type
    return Watched(metric, way == names.MAXIMIZE, objective.strategy_of(metric) or "")


def metric_is_known(objective: ObjectiveSpec, settings: Settings) -> Sequence[FieldError]:
    """Only metrics of the Experiment are collected."""
    metric = settings["metric"]
    if metric is None or metric in objective.metric_names:
        return ()
    known = nearest(str(metric), objective.metric_names)
    return (FieldError("metric", f"is {str(metric)!r}, which is no metric of spec.objective; {known}"),)


def stops_at_something(objective: ObjectiveSpec, settings: Settings) -> Sequence[FieldError]:
    """A threshold without a value, which also lets NaN pass, would stop nothing."""
    if settings["value"] is not None or settings["non_finite"]:
        return ()
    return (FieldError("value", "is needed where non_finite is false: nothing else would ever stop a Trial"),)


def has_an_end(objective: ObjectiveSpec, settings: Settings) -> Sequence[FieldError]:
    """Brackets are laid out from the end."""
    most, least = settings["max_resource"], settings["min_resource"]
    if most is None:
        text = "is needed: how many reports a Trial makes that is not stopped, a whole number at least 1"
        return (FieldError("max_resource", text),)
    if isinstance(most, int) and isinstance(least, int) and most < least:
        return (FieldError("max_resource", f"must be at least min_resource, which is {least}, found {most}"),)
    return ()


BUILTIN: tuple[StoppingInfo, ...] = (
    StoppingInfo(
        name="medianstop",
        summary="Stops a Trial whose best is worse than the median of the ended Trials' running averages.",
        create=lambda objective, settings: MedianStop(
            Watched.objective(objective),
            min_trials_required=_int(settings, "min_trials_required"),
            start_step=_int(settings, "start_step"),
        ),
        settings=(
            SettingInfo(
                name="min_trials_required",
                kind="int",
                default=3,
                at_least=1,
                help="How many ended Trials must have come as far before one is stopped.",
            ),
            _start_step(4, "With which report of a Trial it begins; it looks at that and every later one."),
        ),
    ),
    StoppingInfo(
        name="asha",
        summary="Stops a Trial that is not among the best when it comes to a rung: successive halving.",
        create=lambda objective, settings: AshaStop(
            Watched.objective(objective),
            min_resource=_int(settings, "min_resource"),
            reduction_factor=_int(settings, "reduction_factor"),
        ),
        settings=(
            SettingInfo(
                name="min_resource",
                kind="int",
                default=1,
                at_least=1,
                help="After how many reports the first rung comes.",
            ),
            FACTOR,
        ),
    ),
    StoppingInfo(
        name="hyperband",
        summary="As asha, with several sets of rungs side by side: from one that stops early to one that never does.",
        create=lambda objective, settings: HyperbandStop(
            Watched.objective(objective),
            min_resource=_int(settings, "min_resource"),
            max_resource=_int(settings, "max_resource"),
            reduction_factor=_int(settings, "reduction_factor"),
        ),
        settings=(
            SettingInfo(
                name="max_resource",
                kind="int",
                at_least=1,
                help="How many reports a Trial makes that is not stopped. It must be stated.",
            ),
            SettingInfo(
                name="min_resource",
                kind="int",
                default=1,
                at_least=1,
                help="After how many reports a Trial is stopped at the earliest.",
            ),
            FACTOR,
        ),
        rules=(has_an_end,),
        katib="which bracket a Trial is in depends on its name, and Katib asks for its rules before it has one",
    ),
    StoppingInfo(
        name="patience",
        summary="Stops a Trial that has not improved for some reports, whatever others did.",
        create=lambda objective, settings: PatienceStop(
            _watched(objective, settings),
            patience=_int(settings, "patience"),
            min_delta=float(settings["min_delta"] or 0),
            start_step=_int(settings, "start_step"),
        ),
        settings=(
            SettingInfo(
                name="patience",
                kind="int",
                default=10,
                at_least=1,
                help="How many reports without an improvement are too many.",
            ),
            SettingInfo(
                name="min_delta",
                kind="float",
                default=0.0,
                at_least=0,
                help="By how much the best must have become better in these reports, or it is no improvement.",
            ),
            _start_step(1, "Before this report no Trial is stopped."),
            *METRIC_SETTINGS,
        ),
        rules=(metric_is_known,),
        compares=False,
        katib="the rules of Katib's sidecar compare with a number and do not look back",
    ),
    StoppingInfo(
        name="threshold",
        summary="Stops a Trial that reports a value worse than a limit, or one that is not finite.",
        create=lambda objective, settings: ThresholdStop(
            _watched(objective, settings),
            limit=None if settings["value"] is None else float(settings["value"]),
            start_step=_int(settings, "start_step"),
            non_finite=bool(settings["non_finite"]),
        ),
        settings=(
            SettingInfo(
                name="value", kind="float", help="The limit; worse values stop a Trial. Without it none is too bad."
            ),
            SettingInfo(
                name="non_finite", kind="bool", default=True, help="Whether NaN and infinite values stop a Trial too."
            ),
            _start_step(1, "With which report of a Trial it begins; it looks at that and every later one."),
            *METRIC_SETTINGS,
        ),
        rules=(metric_is_known, stops_at_something),
        compares=False,
    ),
)

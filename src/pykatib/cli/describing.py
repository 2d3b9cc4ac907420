"""Objects described in lines, in the manner of `kubectl describe`."""

from collections.abc import Iterable, Iterator, Sequence

from pykatib.api import names
from pykatib.api.experiment import Experiment, FeasibleSpace
from pykatib.api.meta import Condition, Reference
from pykatib.api.suggestion import Suggestion
from pykatib.api.trial import Trial
from pykatib.cli import words
from pykatib.cli.endings import plan_words
from pykatib.cli.lookup import KatibObject
from pykatib.cli.place import Place
from pykatib.cli.results import best_of, metrics_of, pareto_lines, tally_words
from pykatib.control.view import trial_state

_WIDTH = 14
_LOG_LINES = 20
_MOST_EVENTS = 30
_MOST_PROPOSALS = 20


def description(found: KatibObject, place: Place, *, now: float) -> Iterator[str]:
    """The lines that tell all about an object."""
    meta = found.metadata
    yield _field("Name", meta.name)
    yield _field("Namespace", meta.namespace)
    if meta.labels:
        yield _field("Labels", ", ".join(f"{key}={value}" for key, value in meta.labels.items()))
    yield _field("Created", f"{meta.creation_timestamp} ({words.age_since(meta.creation_timestamp, now)} ago)")
    if isinstance(found, Experiment):
        yield from _experiment(found, place)
    elif isinstance(found, Trial):
        yield from _trial(found, place)
    else:
        yield from _suggestion(found)
    yield from _conditions(found.status.conditions, now)
    yield from _events(place, found.reference, now)
    if isinstance(found, Trial):
        yield from _output(found, place)


def _field(name: str, value: str) -> str:
    return f"{name + ':' if name else '':<{_WIDTH}}{value}"


def _experiment(found: Experiment, place: Place) -> Iterator[str]:
    spec, status = found.spec, found.status
    yield _field("Search", plan_words(found))
    for setting in spec.algorithm.algorithm_settings if spec.algorithm else ():
        yield _field("", f"{setting.name} = {setting.value}")
    if spec.early_stopping is not None:
        yield _field("Stopping", spec.early_stopping.algorithm_name)
        for setting in spec.early_stopping.algorithm_settings:
            yield _field("", f"{setting.name} = {setting.value}")
    if spec.max_failed_trial_count is not None:
        yield _field("May fail", words.count(spec.max_failed_trial_count, "Trial"))
    if spec.active_deadline_seconds is not None:
        yield _field("Time limit", words.age(spec.active_deadline_seconds))
    yield _field("Resuming", spec.resume_policy)
    if spec.parameters:
        yield "Parameters:"
        header = ("NAME", "TYPE", "SPACE", "DISTRIBUTION")
        rows = [
            (one.name, one.parameter_type, _space(one.feasible_space), one.feasible_space.distribution)
            for one in spec.parameters
        ]
        yield from _indented(words.columns(header, rows))
    folder = found.metadata.annotations.get(names.ANNOTATION_FOLDER)
    if folder:
        yield _field("Runs in", folder)
    yield from (_field(name, value) for name, value in place.whereabouts(found))
    yield _field("Trials", tally_words(found) or "none yet")
    if status.start_time:
        yield _field("Started", status.start_time)
    if status.completion_time:
        took = words.span(status.start_time, status.completion_time) or 0.0
        yield _field("Ended", f"{status.completion_time}, after {words.age(took)}")
    best = best_of(found)
    if best is None:
        yield _field("Best Trial", "none has an objective value")
        return
    yield _field("Best Trial", best.best_trial_name)
    yield from _indented(f"{name} = {text}" for name, text in metrics_of(best.observation, spec.objective).items())
    yield from _indented(f"{one.name} = {one.value}" for one in best.parameter_assignments)
    yield from pareto_lines(found)


def _space(space: FeasibleSpace) -> str:
    if space.values:
        return ", ".join(space.values)
    return f"{space.min} … {space.max}" + (f" step {space.step}" if space.step else "")


def _trial(found: Trial, place: Place) -> Iterator[str]:
    status = found.status
    yield _field("State", trial_state(found))
    if status.start_time:
        yield _field("Started", status.start_time)
    if status.completion_time:
        took = words.span(status.start_time, status.completion_time) or 0.0
        yield _field("Ended", f"{status.completion_time}, after {words.age(took)}")
    if status.retry_counts:
        yield _field("Retries", ", ".join(f"{kind} {count}" for kind, count in status.retry_counts.items()))
    yield "Parameters:"
    yield from _indented(f"{one.name} = {one.value}" for one in found.spec.parameter_assignments)
    metrics = status.observation.metrics if status.observation is not None else ()
    if metrics:
        yield "Metrics:"
        rows = [(one.name, one.min, one.max, one.latest) for one in metrics]
        yield from _indented(words.columns(("NAME", "MIN", "MAX", "LATEST"), rows))
    else:
        latest = place.latest(found)
        if latest:
            yield "Metrics so far:"
            yield from _indented(f"{log.name} = {log.value}" for log in latest.values())
    yield from (_field(name, value) for name, value in place.whereabouts(found))


def _output(found: Trial, place: Place) -> Iterator[str]:
    if trial_state(found) not in (names.FAILED, names.METRICS_UNAVAILABLE):
        return
    last = place.last_output(found, _LOG_LINES)
    if last.missing:
        yield _field("Last lines", f"none: {last.missing}")
        return
    yield "Last lines of its output" + (
        f" (attempt {last.attempt_count} of {last.attempt_count}):" if last.attempt_count > 1 else ":"
    )
    yield from _indented(last.text.splitlines() or ["(it printed nothing)"])


def _suggestion(found: Suggestion) -> Iterator[str]:
    spec, status = found.spec, found.status
    yield _field("Algorithm", spec.algorithm.algorithm_name if spec.algorithm else "")
    yield _field("Requested", str(spec.requests))
    yield _field("Assigned", str(status.suggestion_count))
    if status.exhausted:
        yield _field("Exhausted", "there is nothing more to propose")
    for setting in status.algorithm_settings:
        yield _field("", f"{setting.name} = {setting.value}")
    proposals = status.suggestions.since(max(0, len(status.suggestions) - _MOST_PROPOSALS))
    if proposals:
        yield "Last proposals:"
        yield from _indented(f"{one.name}  {words.assignments(one.parameter_assignments)}" for one in proposals)


def _conditions(found: Sequence[Condition], now: float) -> Iterator[str]:
    if not found:
        return
    yield "Conditions:"
    rows = [
        (one.type, one.status, words.age_since(one.last_transition_time, now), one.reason, _first_line(one.message))
        for one in found
    ]
    yield from _indented(words.columns(("TYPE", "STATUS", "AGE", "REASON", "MESSAGE"), rows))


def _events(place: Place, about: Reference, now: float) -> Iterator[str]:
    events = place.events(namespace=about.namespace, name=about.name, kind=about.kind)
    if not events:
        yield _field("Events", "none")
        return
    shown = events[-_MOST_EVENTS:]
    left_out = len(events) - len(shown)
    yield "Events:" + (f" (the last {len(shown)} of {len(events)})" if left_out else "")
    rows = [
        (
            one.type,
            one.reason,
            words.age(now - one.time) + (f" (x{one.count})" if one.count > 1 else ""),
            _first_line(one.message),
        )
        for one in shown
    ]
    yield from _indented(words.columns(("TYPE", "REASON", "AGE", "MESSAGE"), rows))


def _first_line(text: str) -> str:
    first, _, rest = text.partition("\n")
    return f"{first} …" if rest.strip() else first


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)

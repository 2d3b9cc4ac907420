"""Rules of the Trial template: where it comes from, its placeholders, its conditions, its worker job.

Katib fills placeholders with the word `test-value` before it checks a Job, so none can stand in a numeric field; here
a placeholder that is a whole value passes for any single value. Katib finds out that a search parameter is not used
when it makes the first Trial, and then tries again for ever; here it is refused.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import gjson
import msgspec

from pykatib.api import names
from pykatib.api.defaults import FITTING_CONDITIONS, KIND_DEFAULTS
from pykatib.api.errors import FieldError, InvalidInput
from pykatib.api.experiment import ExperimentSpec, TrialParameterSpec, TrialTemplate
from pykatib.api.objects import ConfigMap
from pykatib.api.schema_walk import did_you_mean, join, listed, shown
from pykatib.api.templating import (
    METADATA_KEYS,
    is_placeholder,
    metadata_reference,
    placeholders_in,
    with_stand_ins,
)
from pykatib.api.validation.worker_job import check_worker_job
from pykatib.api.yaml_tree import plain_value, yaml_documents

PATH = "spec.trialTemplate"

Templates: TypeAlias = Callable[[str, str], ConfigMap | None]
"""Finds a ConfigMap by namespace and name; None where there is none. Raises InvalidInput where it may not be used."""


class TemplateBody(NamedTuple):
    """A template as a tree, its place, and the first place of each placeholder."""

    tree: dict[str, Any]
    path: str
    place_by_placeholder: Mapping[str, str]
    stand_ins: Mapping[str, str] = {}  # texts that stand for placeholders where YAML could not hold them


def check_template(
    spec: ExperimentSpec, *, templates: Templates, supported_kinds: Collection[str] | None
) -> Iterator[FieldError]:
    """Everything about `spec.trialTemplate`."""
    template = spec.trial_template
    if template is None:
        yield FieldError(PATH, "is required: what a Trial runs")
        return
    errors: list[FieldError] = []
    body = _body_of(template, templates, errors)
    yield from errors
    kind = body.tree.get("kind") if body is not None else None
    if kind != names.CALLABLE_JOB and not template.primary_container_name:
        yield FieldError(f"{PATH}.primaryContainerName", "is required: the container that trains")
    yield from _check_conditions(template, kind)
    yield from _check_limits(template)
    if template.trial_parameters is None:
        yield FieldError(f"{PATH}.trialParameters", "is required: the template's placeholders (an empty list if none)")
    yield from _check_trial_parameters(template.trial_parameters or (), spec, body)
    if body is None:
        return
    if supported_kinds is not None and isinstance(kind, str) and kind not in supported_kinds:
        yield FieldError(
            f"{body.path}.kind",
            f"found {shown(kind)}, wanted one of {listed(supported_kinds)}{did_you_mean(kind, supported_kinds)}",
        )
    numeric = _numeric_placeholders(spec)
    for error in check_worker_job(
        body.tree,
        body.path,
        primary_container_name=template.primary_container_name,
        is_placeholder=lambda text: text in body.stand_ins or is_placeholder(text),
        is_number_to_be=lambda text: isinstance(text, _UnquotedWord) and body.stand_ins[text] in numeric,
        holds_placeholder=lambda text: bool(placeholders_in(text)) or any(word in text for word in body.stand_ins),
    ):
        yield _with_placeholders(error, body.stand_ins)


def _body_of(template: TrialTemplate, templates: Templates, errors: list[FieldError]) -> TemplateBody | None:
    inline, source = bytes(template.trial_spec), template.config_map
    if inline and source is not None:
        errors.append(FieldError(PATH, "found both `trialSpec` and `configMap`; a template has one of them"))
        return None
    if source is None:
        path = f"{PATH}.trialSpec"
        if not inline:
            errors.append(FieldError(path, "is required: what a Trial runs (or `configMap`, where that is kept)"))
            return None
        tree = msgspec.json.decode(inline)
        if not isinstance(tree, dict):
            errors.append(FieldError(path, f"found {shown(tree)}, wanted a mapping"))
            return None
        return TemplateBody(tree, path, dict(_places(tree, path)))
    path = f"{PATH}.configMap"
    named = (
        ("configMapName", source.config_map_name),
        ("configMapNamespace", source.config_map_namespace),
        ("templatePath", source.template_path),
    )
    missing = [FieldError(f"{path}.{field}", "is required") for field, text in named if not text]
    if missing:
        errors.extend(missing)
        return None
    try:
        config_map = templates(source.config_map_namespace, source.config_map_name)
    except InvalidInput as refused:
        errors.extend(refused.errors)
        return None
    where = f"{source.config_map_namespace}/{source.config_map_name}"
    if config_map is None:
        errors.append(FieldError(f"{path}.configMapName", f"there is no ConfigMap {where}"))
        return None
    text = config_map.data.get(source.template_path)
    if text is None:
        keys = listed(sorted(config_map.data)) or "none"
        hint = did_you_mean(source.template_path, config_map.data)
        errors.append(
            FieldError(
                f"{path}.templatePath", f"ConfigMap {where} has no key {source.template_path}; it has {keys}{hint}"
            )
        )
        return None
    return _read_text(text, join(path, source.template_path), errors)


def _read_text(text: str, path: str, errors: list[FieldError]) -> TemplateBody | None:
    """The template that a text of a ConfigMap describes."""
    readable, stand_ins = with_stand_ins(text)

    def plain(scalar: str) -> Any:
        return _UnquotedWord(scalar) if scalar in stand_ins else plain_value(scalar)

    try:
        found = [value for value, _ in yaml_documents(readable, "", plain=plain) if value is not None]
    except InvalidInput as error:
        errors.extend(_with_placeholders(FieldError(path, str(mistake)), stand_ins) for mistake in error.errors)
        return None
    if len(found) != 1 or not isinstance(found[0], dict):
        what = f"{len(found)} documents" if len(found) != 1 else "a document that is no mapping"
        errors.append(FieldError(path, f"found {what}, wanted one object (`apiVersion: …`, `kind: …`)"))
        return None
    return TemplateBody(found[0], path, dict.fromkeys(placeholders_in(text), path), stand_ins)


class _UnquotedWord(str):
    """A stand-in that stood alone and unquoted: it becomes what its value reads as, a number for most."""

    __slots__ = ()


def _numeric_placeholders(spec: ExperimentSpec) -> frozenset[str]:
    """The placeholders that are filled with numbers."""
    types = {parameter.name: parameter.parameter_type for parameter in spec.parameters}
    parameters = (spec.trial_template.trial_parameters if spec.trial_template is not None else None) or ()
    return frozenset(
        f"${{trialParameters.{parameter.name}}}"
        for parameter in parameters
        if types.get(parameter.reference) in (names.DOUBLE, names.INT, names.DISCRETE)
    )


def _with_placeholders(error: FieldError, stand_ins: Mapping[str, str]) -> FieldError:
    path, message = error.path, error.message
    for stand_in, placeholder in stand_ins.items():
        path, message = path.replace(stand_in, placeholder), message.replace(stand_in, placeholder)
    return FieldError(path, message)


def _places(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Placeholders and where they stand, the first place last, so that a mapping keeps it."""
    if isinstance(value, str):
        for name in placeholders_in(value):
            yield name, path
    elif isinstance(value, dict):
        for key, child in reversed(value.items()):
            yield from _places(child, join(path, key))
            yield from _places(key, path)
    elif isinstance(value, list):
        for index in range(len(value) - 1, -1, -1):
            yield from _places(value[index], f"{path}[{index}]")


def _check_conditions(template: TrialTemplate, kind: object) -> Iterator[FieldError]:
    fitting = FITTING_CONDITIONS.get(str(kind), KIND_DEFAULTS[names.JOB][:2])
    for field, condition, example in (
        ("successCondition", template.success_condition, fitting[0]),
        ("failureCondition", template.failure_condition, fitting[1]),
    ):
        if not condition:
            of_kind = (
                " where the template is in a ConfigMap" if template.config_map is not None else f" for the kind {kind}"
            )
            yield FieldError(
                f"{PATH}.{field}",
                f"is required{of_kind}: a GJSON query over the worker job's status, such as {example}",
            )
        else:
            problem = condition_problem(condition)
            if problem is not None:
                yield FieldError(f"{PATH}.{field}", f"found {shown(condition)}, which is not a GJSON query: {problem}")


class _TouchedError(Exception):
    """The query has been read and is being applied: its syntax is sound."""


class _Untouchable(dict[str, Any]):
    def __contains__(self, key: object) -> bool:
        raise _TouchedError

    def __getitem__(self, key: str) -> Any:
        raise _TouchedError

    def keys(self) -> Any:
        raise _TouchedError


_PROBE: Any = {"status": {"conditions": [{"type": "Complete", "status": "True"}], "phase": "", "succeeded": 1}}


def condition_problem(condition: str) -> str | None:
    """What is wrong with a GJSON query, None where nothing can be said against it."""
    try:
        gjson.get(_Untouchable(), condition)
    except _TouchedError:
        pass
    except gjson.GJSONError as error:
        return str(error).partition("\n")[0]
    except Exception as error:  # the reader of queries fails in its own ways on some texts
        return f"{type(error).__name__}: {error}"
    try:
        gjson.get(_PROBE, condition)
    except gjson.GJSONError as error:  # values within a query are read late; everything else depends on the object
        if "Invalid value" in str(error) or "Unknown modifier" in str(error):
            return str(error).partition("\n")[0]
    except Exception as error:  # as above
        return f"{type(error).__name__}: {error}"
    return None


def _check_limits(template: TrialTemplate) -> Iterator[FieldError]:
    if template.active_deadline_seconds is not None and template.active_deadline_seconds < 1:
        yield FieldError(
            f"{PATH}.activeDeadlineSeconds", f"found {template.active_deadline_seconds}, wanted at least 1 second"
        )
    if template.retries is not None:
        for field in ("crash", "timeout", "lost"):
            count = getattr(template.retries, field)
            if count is not None and count < 0:
                yield FieldError(f"{PATH}.retries.{field}", f"found {count}, wanted at least 0")


def _check_trial_parameters(
    trial_parameters: tuple[TrialParameterSpec, ...], spec: ExperimentSpec, body: TemplateBody | None
) -> Iterator[FieldError]:
    path = f"{PATH}.trialParameters"
    searched: dict[str, int] = {}
    for index, searched_parameter in enumerate(spec.parameters):
        searched.setdefault(searched_parameter.name, index)
    index_by_name: dict[str, int] = {}
    index_by_reference: dict[str, int] = {}
    for index, parameter in enumerate(trial_parameters):
        here = f"{path}[{index}]"
        if not parameter.name:
            yield FieldError(f"{here}.name", "is required: the placeholder's name")
        elif "{" in parameter.name or "}" in parameter.name:
            yield FieldError(f"{here}.name", f"found {shown(parameter.name)}; a name has no braces")
        elif parameter.name in index_by_name:
            yield FieldError(
                f"{here}.name", f"found {shown(parameter.name)} again; entry {index_by_name[parameter.name]} has it"
            )
        else:
            index_by_name[parameter.name] = index
            if body is not None and parameter.name not in body.place_by_placeholder:
                yield FieldError(f"{here}.name", _never_used(parameter.name, body))
        if not parameter.reference:
            yield FieldError(f"{here}.reference", "is required: the search parameter that fills the placeholder")
        elif parameter.reference in index_by_reference:
            yield FieldError(
                f"{here}.reference",
                f"found {shown(parameter.reference)} again; entry {index_by_reference[parameter.reference]} refers to "
                "it, and one placeholder may stand in several places",
            )
        else:
            index_by_reference[parameter.reference] = index
            yield from _check_reference(parameter.reference, searched, body, f"{here}.reference")
    if body is not None:
        for name, place in body.place_by_placeholder.items():
            if name not in index_by_name:
                hint = did_you_mean(name, index_by_name)
                yield FieldError(place, f"${{trialParameters.{name}}} is not declared in trialParameters{hint}")
    for name, index in searched.items():
        if name and name not in index_by_reference:
            yield FieldError(
                path,
                f"nothing refers to the search parameter {shown(name)}, so its value would never reach the program: "
                f"add an entry with `reference: {name}`, or take spec.parameters[{index}] out",
            )


def _never_used(name: str, body: TemplateBody) -> str:
    message = f"${{trialParameters.{name}}} stands nowhere in the template"
    text = json.dumps(body.tree, ensure_ascii=False)
    near = re.search(rf"\$?[({{]+\s*trialParameters\.{re.escape(name)}\s*[)}}]+", text)
    if near is not None:
        return f"{message}; it has {near[0]}, which is left as it is"
    return message + did_you_mean(name, body.place_by_placeholder)


def _check_reference(
    reference: str, searched: Collection[str], body: TemplateBody | None, path: str
) -> Iterator[FieldError]:
    metadata = metadata_reference(reference)
    if metadata is None:
        if searched and reference not in searched:
            hint = did_you_mean(reference, searched) or f"; there are {listed(searched)}"
            yield FieldError(path, f"found {shown(reference)}, which is no search parameter{hint}")
        return
    key, index = metadata
    if key not in METADATA_KEYS:
        yield FieldError(
            path, f"found {shown(reference)}; known are {', '.join(METADATA_KEYS)}{did_you_mean(key, METADATA_KEYS)}"
        )
    elif (key in ("Labels", "Annotations")) != bool(index):
        right = f"${{trialSpec.{key}}}" if index else f"${{trialSpec.{key}[KEY]}}"
        yield FieldError(path, f"found {shown(reference)}; write {right}")
    elif index and body is not None:
        values = (body.tree.get("metadata") or {}) if isinstance(body.tree.get("metadata"), dict | None) else {}
        values = values.get(key.lower())
        known = list(values) if isinstance(values, dict) else []
        if index not in known:
            yield FieldError(
                path,
                f"the template has no {key.lower()[:-1]} {shown(index)} in {body.path}.metadata.{key.lower()}"
                f"{did_you_mean(index, known)}",
            )

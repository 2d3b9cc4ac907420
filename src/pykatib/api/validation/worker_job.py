"""Rules of the worker job within a Trial template, as far as its kind is known here.

A batch/v1 Job is compared with the whole type, so that a misspelt field is told instead of being dropped by the API
server. Other kinds are objects of somebody else's; only what Katib itself needs of them is asked.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pykatib.api import names
from pykatib.api.errors import FieldError
from pykatib.api.job import Container, Job
from pykatib.api.quantity import parse_quantity
from pykatib.api.schema_walk import did_you_mean, join, listed, shown, walk_tree

JOB_API_VERSION = "batch/v1"
_RESTART_POLICIES = ("Never", "OnFailure")


def check_worker_job(
    tree: dict[str, Any],
    path: str,
    *,
    primary_container_name: str,
    is_placeholder: Callable[[str], bool],
    holds_placeholder: Callable[[str], bool],
    is_number_to_be: Callable[[str], bool],
) -> Iterator[FieldError]:
    """Everything about the object that a template describes."""
    for field in ("apiVersion", "kind"):
        found = tree.get(field)
        if not isinstance(found, str) or not found:
            yield FieldError(f"{path}.{field}", "is required: the template must say what it is")
    metadata = tree.get("metadata")
    if isinstance(metadata, dict):
        for field in ("name", "namespace"):
            if metadata.get(field):
                yield FieldError(f"{path}.metadata.{field}", "must be left out: each Trial sets its own")
    if tree.get("apiVersion") == JOB_API_VERSION and tree.get("kind") == names.JOB:
        job, errors, unsound = walk_tree(
            tree, Job, path=path, is_placeholder=is_placeholder, is_number_to_be=is_number_to_be
        )
        yield from errors
        if job is not None:
            for error in _check_job(job, path, primary_container_name, holds_placeholder):
                if not any(_is_within(doubt, error.path) or _is_within(error.path, doubt) for doubt in unsound):
                    yield error


def _is_within(path: str, outer: str) -> bool:
    return path == outer or path.startswith((f"{outer}.", f"{outer}["))


def _check_job(
    job: Job, path: str, primary_container_name: str, holds_placeholder: Callable[[str], bool]
) -> Iterator[FieldError]:
    pod, here = job.spec.template.spec, f"{path}.spec.template.spec"
    if not pod.containers:
        yield FieldError(f"{here}.containers", "is required: a Job runs at least one container")
        return
    found = [container.name for container in pod.containers]
    if (
        primary_container_name
        and primary_container_name not in found
        and not any(holds_placeholder(name) for name in found)
    ):
        yield FieldError(
            "spec.trialTemplate.primaryContainerName",
            f"found {shown(primary_container_name)}, but the template's containers are "
            f"{listed(shown(name) for name in found)}{did_you_mean(primary_container_name, found)}",
        )
    policy = pod.restart_policy
    if policy and policy not in _RESTART_POLICIES and not holds_placeholder(policy):
        yield FieldError(
            f"{here}.restartPolicy", f"found {shown(policy)}; a Job's pods have {' or '.join(_RESTART_POLICIES)}"
        )
    for kind, containers in (("containers", pod.containers), ("initContainers", pod.init_containers)):
        for index, container in enumerate(containers):
            yield from _check_container(container, f"{here}.{kind}[{index}]", holds_placeholder)


def _check_container(container: Container, path: str, holds_placeholder: Callable[[str], bool]) -> Iterator[FieldError]:
    if not container.name:
        yield FieldError(f"{path}.name", "is required: a container needs a name")
    resources = container.resources
    for field, quantities in (("requests", resources.requests), ("limits", resources.limits)):
        for name, written in quantities.items():
            if isinstance(written, str) and holds_placeholder(written):
                continue
            try:
                negative = parse_quantity(written) < 0
            except ValueError as error:
                yield FieldError(join(f"{path}.resources.{field}", name), str(error))
                continue
            if negative:
                yield FieldError(join(f"{path}.resources.{field}", name), f"found {written}, wanted at least 0")
    for index, variable in enumerate(container.env):
        if not variable.name:
            yield FieldError(f"{path}.env[{index}].name", "is required: a variable needs a name")
        elif variable.value and variable.value_from is not None:
            yield FieldError(f"{path}.env[{index}]", "found both `value` and `valueFrom`; a variable has one of them")

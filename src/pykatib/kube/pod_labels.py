"""The label of the Trial on the Pods of its worker job, from the job's own Pod templates.

Katib's Pod webhook puts it there, too late for API servers to know whom to ask about which Pod: they must ask about
every one, and while nobody answers none can start. With the label in the template they ask about Trials' Pods alone.
The job's own labels stay the template's, as in Katib.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from pykatib.api import names
from pykatib.api.objects import WorkerJob


def labelled(job: WorkerJob) -> WorkerJob:
    """The worker job of a Trial with the label in each Pod template that it has, of whatever kind it is."""
    owner = job.metadata.controller
    if owner is None or (owner.kind, owner.api_version) != (names.TRIAL, names.API_VERSION):
        return job
    spec = msgspec.json.decode(job.spec)
    templates = list(_pod_templates(spec))
    if not templates:
        return job
    for template in templates:
        metadata = template["metadata"] = dict(template.get("metadata") or {})
        metadata["labels"] = {**(metadata.get("labels") or {}), names.LABEL_TRIAL: owner.name}
    return msgspec.structs.replace(job, spec=msgspec.Raw(msgspec.json.encode(spec)))


def _pod_templates(tree: Any) -> Iterator[dict[str, Any]]:
    """Every `template` whose spec has containers: of Jobs, replicas of distributed jobs, worker groups of Ray."""
    if isinstance(tree, list):
        for each in tree:
            yield from _pod_templates(each)
    elif isinstance(tree, dict):
        for name, each in tree.items():
            if name == "template" and _is_pod_template(each):
                yield each
            else:
                yield from _pod_templates(each)


def _is_pod_template(value: Any) -> bool:
    spec = value.get("spec") if isinstance(value, dict) else None
    return (
        isinstance(spec, dict)
        and isinstance(spec.get("containers"), list)
        and isinstance(value.get("metadata"), dict | None)
        and isinstance((value.get("metadata") or {}).get("labels"), dict | None)
    )

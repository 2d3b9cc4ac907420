"""How the collector's container is started: its arguments, and rights that the restricted Pod Security level grants.

The arguments are Katib's where Katib has them; the others have names of two dashes. `pykatib.sidecar.options` reads
them.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from pykatib.api import names
from pykatib.api.shared import MetricsCollectorSpec, ObjectiveSpec, SourceSpec
from pykatib.api.trial import Trial

NOBODY: Final = 65532
"""Who the sidecar is where the Pod says that its containers are root."""


def sidecar_arguments(
    trial: Trial,
    *,
    collector: MetricsCollectorSpec,
    path: str,
    db_manager_address: str,
    early_stopping_address: str,
    wait_all_processes: bool | None,
    control_folder: str,
    is_wrapped: bool,
    restart_policy: str,
) -> list[str]:
    """The arguments of the sidecar of a Trial, Katib's first and in Katib's order."""
    objective = trial.spec.objective or ObjectiveSpec()
    source = collector.source or SourceSpec()
    words = ["-t", trial.metadata.name, "-m", ";".join(objective.metric_names), "-o-type", objective.type]
    words += ["-s-db", db_manager_address]
    if path:
        words += ["-path", path]
    filters = source.filter.metrics_format if source.filter is not None else ()
    if filters and not any(";" in pattern for pattern in filters):
        words += ["-f", ";".join(filters)]
    else:
        for pattern in filters:
            words += ["--filter", pattern]
    if collector.kind == names.STDOUT:
        words += ["-format", "TEXT"]
    elif collector.kind == names.FILE and source.file_system_path is not None:
        words += ["-format", source.file_system_path.format or "TEXT"]
    if wait_all_processes is not None:
        words += ["-w", "true" if wait_all_processes else "false"]
    for rule in trial.spec.early_stopping_rules:
        words += ["-stop-rule", f"{rule.name};{rule.value};{rule.comparison};{rule.start_step}"]
    if trial.spec.early_stopping_rules:
        words += ["-s-earlystop", early_stopping_address]
    words += ["--kind", collector.kind, "--namespace", trial.metadata.namespace, "--control", control_folder]
    if not is_wrapped:
        words += ["--unwrapped", "true"]
    if restart_policy != "Never":
        words += ["--restarts", "true"]
    if collector.kind == names.PROMETHEUS_METRIC and source.http_get is not None:
        words += ["--http-get", msgspec.json.encode(source.http_get).decode()]
    return [word.replace("$", "$$") for word in words]  # of `$(NAME)` the kubelet makes a variable's value, of `$$` one


def sidecar_security_context(primary: Mapping[str, Any], pod: Mapping[str, Any]) -> dict[str, Any]:
    """As few rights as there are. The sidecar is the primary container's user where that is known: it reads files."""
    context: dict[str, Any] = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    user = primary.get("runAsUser", pod.get("runAsUser"))
    if user is not None:
        context["runAsUser"] = user or NOBODY
    group = primary.get("runAsGroup", pod.get("runAsGroup"))
    if user and group is not None:
        context["runAsGroup"] = group
    return context

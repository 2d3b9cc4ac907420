"""Run by an interpreter that has Katib's SDK: what its users do, against a cluster. Prints a line of JSON at the end.

Arguments: the address of the DB manager as this machine reaches it, and a name for the Experiments.
"""

import json
import sys
from typing import Any

from kubeflow import katib  # type: ignore[import-not-found]  # in that interpreter

NAMESPACE = "kubeflow"
database, name = sys.argv[1:]
client = katib.KatibClient(namespace=NAMESPACE)


def objective(parameters):  # type: ignore[no-untyped-def]  # its source is sent as it is, and has to be simple
    x = float(parameters["x"])
    print(f"result={4 - (x - 1) ** 2}")


client.tune(
    name=name,
    objective=objective,
    parameters={"x": katib.search.double(min=0.0, max=2.0)},
    base_image="pykatib-mnist:test",
    objective_metric_name="result",
    max_trial_count=2,
    parallel_trial_count=2,
    resources_per_trial={"cpu": "0.5", "memory": "200Mi"},
)
first = client.wait_for_experiment_condition(name, timeout=300, polling_interval=1)
client.edit_experiment_budget(name, max_trial_count=3, parallel_trial_count=3)
client.wait_for_experiment_condition(name, expected_condition="Restarting", timeout=60, polling_interval=1)


def has_three(experiment: Any) -> bool:
    return client.is_experiment_succeeded(experiment=experiment) and experiment.status.trials_succeeded == 3


for _ in range(300):
    second = client.wait_for_experiment_condition(name, timeout=300, polling_interval=1)
    if has_three(second):
        break
best = client.get_optimal_hyperparameters(name)
metrics = client.get_trial_metrics(best.best_trial_name, db_manager_address=database)

copy = katib.V1beta1Experiment(
    api_version="kubeflow.org/v1beta1",
    kind="Experiment",
    metadata={"name": f"{name}-copy", "namespace": NAMESPACE},
    spec=second.spec,
)
client.create_experiment(copy)
client.wait_for_experiment_condition(f"{name}-copy", timeout=300, polling_interval=1)

found = {
    "first": first.status.trials_succeeded,
    "second": second.status.trials_succeeded,
    "best": {each.name: each.value for each in best.parameter_assignments},
    "result": best.observation.metrics[0].max,
    "metrics": [[each.metric.name, each.metric.value] for each in metrics],
    "trials": len(client.list_trials(experiment_name=name)),
    "succeeded": len(client.get_success_trial_details(name)),
}
for each in (name, f"{name}-copy"):
    client.delete_experiment(each)
print(json.dumps(found))

"""Run by an interpreter that has Katib's SDK: what its users do, against a cluster. Prints a line of JSON at the end.

Arguments: the address of the DB manager as this machine reaches it, and a name for the Experiments.
"""

import json
import sys
import time

from kubeflow import katib  # type: ignore[import-not-found]  # in that interpreter
from kubernetes.client import V1ObjectMeta  # type: ignore[import-not-found]

NAMESPACE = "kubeflow"
database, name = sys.argv[1:]
client = katib.KatibClient(namespace=NAMESPACE)


def objective(parameters):  # type: ignore[no-untyped-def]  # its source is sent as it is, and has to be simple
    x = float(parameters["x"])
    print(f"result={4 - (x - 1) ** 2}")


def edit_budget(experiment: str, count: int) -> None:
    """The SDK sends the version that it read, and gives up where that has changed in between: then once more."""
    for attempt in range(20):
        try:
            client.edit_experiment_budget(experiment, max_trial_count=count, parallel_trial_count=count)
        except RuntimeError:
            if attempt == 19:
                raise
        else:
            return


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
edit_budget(name, 3)
tuned = client.wait_for_experiment_condition(name, timeout=300, polling_interval=1)
best = client.get_optimal_hyperparameters(name)
metrics = client.get_trial_metrics(best.best_trial_name, db_manager_address=database)

resumable = f"{name}-again"
copy = katib.V1beta1Experiment(
    api_version="kubeflow.org/v1beta1",
    kind="Experiment",
    metadata=V1ObjectMeta(name=resumable, namespace=NAMESPACE),
    spec=tuned.spec,
)
copy.spec.resume_policy = "LongRunning"
client.create_experiment(copy)
client.wait_for_experiment_condition(resumable, timeout=300, polling_interval=1)
edit_budget(resumable, 4)
client.wait_for_experiment_condition(resumable, expected_condition="Restarting", timeout=60, polling_interval=0.2)
for _ in range(300):
    resumed = client.wait_for_experiment_condition(resumable, timeout=300, polling_interval=1)
    if resumed.status.trials_succeeded == 4:
        break
    time.sleep(1)

found = {
    "tuned": tuned.status.trials_succeeded,
    "resumed": resumed.status.trials_succeeded,
    "best": {each.name: each.value for each in best.parameter_assignments},
    "result": best.observation.metrics[0].max,
    "metrics": [[each.metric.name, each.metric.value] for each in metrics],
    "trials": len(client.list_trials(experiment_name=name)),
    "succeeded": len(client.get_success_trial_details(name)),
}
for each in (name, resumable):
    client.delete_experiment(each)
print(json.dumps(found))

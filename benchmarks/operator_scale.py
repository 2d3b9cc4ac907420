"""A long Experiment: how large its objects get, what a Trial writes, what the operator holds in memory.

    python benchmarks/operator_scale.py [--seeded 19000] [--trials 20000] [--parallel 50]

The first `--seeded` Trials are not run: they are written as the operator would have left them, by its own planners, and
it begins when they are there. `--seeded 0` runs all. Goals, with 20,000 Trials: no object above 512 KiB and bytes
written a Trial flat; with 10,000 (`--seeded 9500 --trials 10000`): 250 MB.
"""

import argparse
import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from measuring import print_table
from operator_bench import (
    EXPERIMENTS,
    NAMESPACE,
    SUGGESTIONS,
    TRIALS,
    Bench,
    bench,
    experiment,
    has_ended,
    load,
    print_cpu,
    read_experiment,
)
from pykatib.algorithms import registry
from pykatib.api import names, wire
from pykatib.api.conditions import set_condition, set_terminal
from pykatib.api.experiment import Experiment
from pykatib.api.meta import ObjectMeta, OwnerReference
from pykatib.api.shared import Metric, Observation
from pykatib.api.suggestion import Suggestion, SuggestionSpec
from pykatib.api.times import rfc3339
from pykatib.api.trial import Trial
from pykatib.control.blueprint import Blueprint
from pykatib.control.suggestion_plan import with_proposals
from pykatib.control.view import ExperimentView
from pykatib.runtime.algorithm_host import AlgorithmHost
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.kubernetes.store import KubernetesStore

PROPOSED_AT_ONCE = 1000
WRITERS = 8


def seed(found: Bench, made: Experiment, count: int) -> None:
    """Writes `count` Trials that have succeeded, and the Suggestion that they come from."""
    owner = OwnerReference(made.api_version, made.kind, made.metadata.name, made.metadata.uid, True, True)
    suggestion = Suggestion(
        metadata=ObjectMeta(name=made.metadata.name, namespace=NAMESPACE, owner_references=(owner,)),
        spec=SuggestionSpec(made.spec.algorithm, None, count, made.spec.resume_policy),
    )
    store = KubernetesStore(ApiServer.connect(found.kubeconfig), namespace=NAMESPACE)
    suggestion = store.create(suggestion)
    host, view = AlgorithmHost(registry.create), ExperimentView()
    while suggestion.status.suggestion_count < count:
        wanted = min(PROPOSED_AT_ONCE, count - suggestion.status.suggestion_count)
        answer = host.propose(made, suggestion, view, wanted)
        status = with_proposals(suggestion, made, answer.proposals, wanted=wanted, settings=(), rules=())
        suggestion = store.update_status(replace(suggestion, status=status))
    store.close()
    blueprint = Blueprint(made, None)
    server = ApiServer.connect(found.kubeconfig)

    def write(number: int) -> None:
        trial = succeeded(blueprint.trial(suggestion.status.suggestions[number]), 0.5 + number / 1e6)
        meta = trial.metadata
        body = {"apiVersion": trial.api_version, "kind": trial.kind, "metadata": meta, "spec": trial.spec}
        made = json.loads(server.request("POST", TRIALS, body=wire.encode(body)))
        version = ObjectMeta(name=meta.name, namespace=NAMESPACE, resource_version=made["metadata"]["resourceVersion"])
        body |= {"metadata": version, "status": trial.status}
        server.request("PUT", f"{TRIALS}/{meta.name}/status", body=wire.encode(body))

    with ThreadPoolExecutor(WRITERS) as pool:
        for _ in pool.map(write, range(count)):
            pass
    server.close()


def succeeded(trial: Trial, loss: float) -> Trial:
    """The Trial as it is left."""
    now = time.time()
    conditions = set_condition((), names.CREATED, reason=names.TRIAL_CREATED, message="Trial is created", now=now)
    conditions = set_condition(
        conditions, names.RUNNING, reason=names.TRIAL_RUNNING, message="Trial is running", now=now
    )
    conditions = set_terminal(
        conditions, names.SUCCEEDED, reason=names.TRIAL_SUCCEEDED, message="Trial has succeeded", now=now
    )
    status = replace(
        trial.status,
        conditions=conditions,
        start_time=rfc3339(now),
        completion_time=rfc3339(now),
        observation=Observation((Metric("loss", repr(loss), repr(loss), repr(loss)),)),
    )
    return replace(trial, status=status)


def largest_config_map(found: Bench) -> tuple[int, int]:
    """How many ConfigMaps with assignments there are, and the size of the largest."""
    answer = json.loads(found.server.request("GET", f"/api/v1/namespaces/{NAMESPACE}/configmaps"))
    sizes = [
        len(json.dumps(each)) for each in answer["items"] if "-assignments-" in each["metadata"]["name"]
    ]  # fmt: skip
    return len(sizes), max(sizes, default=0)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeded", type=int, default=19_000)
    parser.add_argument("--trials", type=int, default=20_000)
    parser.add_argument("--parallel", type=int, default=50)
    options = parser.parse_args()
    with bench() as found:
        wanted = experiment(NAMESPACE, trials=options.trials, parallel=options.parallel)
        made = wire.decode(found.server.request("POST", EXPERIMENTS, body=wire.encode(wanted)), Experiment)
        if options.seeded:
            started = time.monotonic()
            seed(found, made, options.seeded)
            print(f"{options.seeded} Trials written in {time.monotonic() - started:.1f} s", flush=True)
        seconds = found.start_operator()
        print(f"the operator knew the cluster after {seconds:.1f} s", flush=True)
        time.sleep(3.0)
        rows: list[list[str]] = []
        first = count = last = options.seeded
        step = max(1, (options.trials - first) // 10)
        begun, sent, cpu = time.monotonic(), found.bytes_written(), found.cpu_seconds()
        moment, before = begun, cpu
        while count < options.trials or not has_ended(found.server, NAMESPACE):
            time.sleep(0.3)
            count = read_experiment(found.server, NAMESPACE).status.trials_succeeded
            if count < last + step and not (count == options.trials > last):
                continue
            now, written, used = time.monotonic(), found.bytes_written(), found.cpu_seconds()
            number, largest = largest_config_map(found)
            rows.append(
                [
                    str(count),
                    f"{(count - last) / (now - moment):.1f}",
                    f"{(used['operator'] - cpu['operator']) / (count - last) * 1000:.1f}",
                    f"{(written - sent) / (count - last) / 1024:.1f}",
                    f"{found.size(f'{EXPERIMENTS}/search') / 1024:.0f}",
                    f"{found.size(f'{SUGGESTIONS}/search') / 1024:.0f}",
                    f"{number} up to {largest / 1024:.0f}",
                    f"{found.operator_memory_mb():.0f}",
                ]
            )
            last, moment, sent, cpu = count, now, written, used
        head = [
            "up to Trial",
            "Trials/s",
            "CPU ms",
            "KiB written",
            "Experiment KiB",
            "Suggestion KiB",
            "ConfigMaps KiB",
        ]
        print_table([*head, "operator MB"], rows)
        run = max(1, options.trials - first)
        print(f"{run / (time.monotonic() - begun):.1f} Trials/s; operator {found.operator_peak_mb():.0f} MB at most")
        print(load())
        print_cpu(found.cpu_seconds(), before, run)
        for plural in ("experiments", "suggestions"):
            listing(found, plural)


def listing(found: Bench, plural: str) -> None:
    """What a person sees."""
    command = ["kubectl", "--kubeconfig", found.kubeconfig, "get", f"{plural}.kubeflow.org"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return
    print(done.stdout.rstrip())


if __name__ == "__main__":
    main()

"""What GetSuggestions of `enas` costs with 100 Trials told, with Katib's default settings, on one thread.

    python benchmarks/enas_cost.py [--told 100] [--layers 1 3 8 12]

`restarted`: a process that knows nothing is told all Trials and asked for three architectures, as after a restart.
`goes on`: a process that has answered before is told one more, which is what a request costs in the long run; so it is
with the gRPC service too, although that makes an algorithm for every request. Through Katib's wire both ways.
"""

import argparse
import statistics
import subprocess
import sys
import time

LAYERS = (1, 3, 8, 12)


def once(told_count: int, layers: int) -> None:
    """In a process of its own: prints seconds of CPU and of the clock of both."""
    from pykatib.algorithms import registry
    from pykatib.algorithms.contract import Ask, FinishedTrial
    from pykatib.algorithms.randomness import unit_of, words
    from pykatib.api.experiment import (
        Experiment,
        ExperimentSpec,
        FeasibleSpace,
        GraphConfig,
        NasConfig,
        Operation,
        ParameterSpec,
    )
    from pykatib.api.meta import ObjectMeta
    from pykatib.api.shared import AlgorithmSpec, ObjectiveSpec

    def choice(name: str, *values: str) -> ParameterSpec:
        return ParameterSpec(name, "categorical", FeasibleSpace(values=values))

    sizes, filters, strides = ("3", "5", "7"), ("32", "48", "64", "96", "128"), ("1", "2")
    convolution = (choice("filter_size", *sizes), choice("num_filter", *filters), choice("stride", *strides))
    depth = choice("depth_multiplier", "1", "2")
    pool = ParameterSpec("pool_size", "int", FeasibleSpace(min="2", max="3", step="1"))
    operations = (  # those of Katib's enas-cpu.yaml: 106 of them
        Operation("convolution", convolution),
        Operation("separable_convolution", (*convolution, depth)),
        Operation("depthwise_convolution", (convolution[0], convolution[2], depth)),
        Operation("reduction", (choice("reduction_type", "max_pooling", "avg_pooling"), pool)),
    )
    experiment = Experiment(
        metadata=ObjectMeta(name="cost"),
        spec=ExperimentSpec(
            objective=ObjectiveSpec(type="maximize", objective_metric_name="Validation-Accuracy"),
            algorithm=AlgorithmSpec("enas"),
            nas_config=NasConfig(GraphConfig(layers, (32, 32, 3), (10,)), operations),
        ),
    )
    _, proposer = registry.create(experiment, seed=99)
    proposals = proposer.ask(Ask(told_count + 1, 0))
    trials = [
        FinishedTrial(index, f"trial-{index}", one.values, "succeeded", unit_of(words(7, index, 1)[0]))
        for index, one in enumerate(proposals)
    ]
    for told, count in ((trials[:-1], told_count), (trials, told_count + 1)):
        began, cpu = time.perf_counter(), time.process_time()
        _, algorithm = registry.create(experiment, seed=1)
        algorithm.tell(told)
        algorithm.ask(Ask(3, count))
        print(time.process_time() - cpu, time.perf_counter() - began)


def main() -> None:
    """Reads the command line, and measures in fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--told", type=int, default=100)
    parser.add_argument("--layers", type=int, nargs="+", default=LAYERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--once", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.once is not None:
        once(args.told, args.once)
        return
    print("layers  restarted: CPU s (clock)   goes on: CPU s (clock)")
    for layers in args.layers:
        rows = []
        for _ in range(args.rounds):
            command = [sys.executable, __file__, "--told", str(args.told), "--once", str(layers)]
            rows.append([float(word) for word in subprocess.check_output(command, text=True).split()])
        cpu, clock, cpu_on, clock_on = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"{layers:6}  {cpu:10.2f} ({clock:.2f}) {cpu_on:22.3f} ({clock_on:.3f})", flush=True)


if __name__ == "__main__":
    main()

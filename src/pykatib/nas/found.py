"""What an architecture search has found: the network of its best Trial, read from assignments and metrics.

Read without torch. `enas` and `regularized-evolution` over a `nasConfig` hand a whole network to each Trial; what
`darts` has found its Trial prints, and it is among the metrics as the text of `Best-Genotype`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pykatib.algorithms.nas.space import ARCHITECTURE, NN_CONFIG
from pykatib.api.errors import InvalidInput
from pykatib.api.experiment import Experiment, OptimalTrial
from pykatib.nas.genotype import Genotype, read_genotype
from pykatib.nas.plans import NetworkPlan, Shape, read_plan
from pykatib.nas.reading import read_text, refused, whole

BEST_GENOTYPE: Final = "Best-Genotype"
CIFAR_IMAGE: Final = Shape(3, 32, 32)
CIFAR_CLASSES: Final = 10


@dataclass(frozen=True, kw_only=True)
class FoundChain:
    """A network that a Trial was given."""

    plan: NetworkPlan
    architecture: str
    nn_config: str


@dataclass(frozen=True, kw_only=True)
class FoundCells:
    """Cells that a Trial has found, and the outline of the network in which it did."""

    genotype: Genotype
    layers: int
    init_channels: int
    stem_multiplier: int
    image: Shape
    classes: int


def found_by(experiment: Experiment, best: OptimalTrial) -> FoundChain | FoundCells:
    """The network of the best Trial; InvalidInput where the Experiment searched for something else."""
    text_by_name = {one.name: one.value for one in best.parameter_assignments}
    if ARCHITECTURE in text_by_name and NN_CONFIG in text_by_name:
        architecture, nn_config = text_by_name[ARCHITECTURE], text_by_name[NN_CONFIG]
        plan = read_plan(architecture, nn_config)
        return FoundChain(plan=plan, architecture=architecture, nn_config=nn_config)
    if "num-layers" in text_by_name:
        return _cells(experiment, best, text_by_name)
    raise refused("", f"Experiment {experiment.metadata.name} searched for parameters, not for an architecture")


def _cells(experiment: Experiment, best: OptimalTrial, text_by_name: Mapping[str, str]) -> FoundCells:
    settings = read_text(text_by_name.get("algorithm-settings", "{}"), "algorithm-settings")
    graph = experiment.spec.nas_config.graph_config if experiment.spec.nas_config is not None else None
    sizes = graph.input_sizes if graph is not None else ()
    classes = graph.output_sizes if graph is not None else ()
    image = Shape(sizes[2], sizes[0], sizes[1]) if len(sizes) == 3 else CIFAR_IMAGE
    return FoundCells(
        genotype=_genotype(best),
        layers=whole(text_by_name["num-layers"], "num-layers"),
        init_channels=whole(settings.get("init_channels", 16), "algorithm-settings.init_channels"),
        stem_multiplier=whole(settings.get("stem_multiplier", 3), "algorithm-settings.stem_multiplier"),
        image=image,
        classes=classes[-1] if classes else CIFAR_CLASSES,
    )


def _genotype(best: OptimalTrial) -> Genotype:
    texts = {metric.name: metric.latest for metric in best.observation.metrics}
    for text in (texts.pop(BEST_GENOTYPE, ""), *texts.values()):
        try:
            return read_genotype(text)
        except InvalidInput:
            continue
    raise refused(
        "",
        f"no metric of {best.best_trial_name} is a genotype; state {BEST_GENOTYPE} as the objective or among "
        'additionalMetricNames, with the metricsFormat "([\\\\w-]+)=(Genotype.*)"',
    )

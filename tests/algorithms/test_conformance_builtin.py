"""pykatib's own algorithms keep what `pykatib.algorithms.conformance` asks of every algorithm."""

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import (
    SPACES,
    AlgorithmConformance,
    ExhaustionConformance,
    OneByOneConformance,
    integer,
)
from pykatib.api.experiment import ParameterSpec


class TestRandom(OneByOneConformance, ExhaustionConformance, AlgorithmConformance):
    info = registry.info("random")


class TestGrid(OneByOneConformance, ExhaustionConformance, AlgorithmConformance):
    info = registry.info("grid")


class TestSobol(OneByOneConformance, ExhaustionConformance, AlgorithmConformance):
    info = registry.info("sobol")


class TestCmaEs(ExhaustionConformance, AlgorithmConformance):
    info = registry.info("cmaes")


class TestBayesianOptimization(ExhaustionConformance, AlgorithmConformance):
    info = registry.info("bayesianoptimization")
    settings = {"n_initial_points": "4"}


class TestTpe(ExhaustionConformance, AlgorithmConformance):
    info = registry.info("tpe")
    settings = {"n_startup_trials": "4"}


class TestMultivariateTpe(ExhaustionConformance, AlgorithmConformance):
    info = registry.info("multivariate-tpe")
    settings = {"n_startup_trials": "4"}


def _with_epochs(specs: tuple[ParameterSpec, ...]) -> tuple[ParameterSpec, ...]:
    return (*specs, integer("epochs", "1", "27"))


SPACES_WITH_EPOCHS = {name: _with_epochs(specs) for name, specs in SPACES.items()}


class TestHyperband(AlgorithmConformance):
    info = registry.info("hyperband")
    settings = {"resource_name": "epochs", "r_l": "27"}
    spaces = SPACES_WITH_EPOCHS


class TestAsha(AlgorithmConformance):
    info = registry.info("asha")
    settings = {"resource_name": "epochs"}
    spaces = SPACES_WITH_EPOCHS


class TestBohb(AlgorithmConformance):
    info = registry.info("bohb")
    settings = {"resource_name": "epochs", "eta": "2"}
    spaces = SPACES_WITH_EPOCHS


class TestBohbWithGaussianProcess(AlgorithmConformance):
    info = registry.info("bohb")
    settings = {"resource_name": "epochs", "proposer": "bayesianoptimization"}
    spaces = {name: SPACES_WITH_EPOCHS[name] for name in ("two doubles", "manifest", "one point", "weighted")}


class TestPbt(AlgorithmConformance):
    info = registry.info("pbt")
    settings = {"suggestion_trial_dir": "/checkpoints", "n_population": "5", "truncation_threshold": "0.3"}


class TestPbtThatDrawsAnew(AlgorithmConformance):
    info = registry.info("pbt")
    settings = {
        "suggestion_trial_dir": "/checkpoints",
        "n_population": "6",
        "truncation_threshold": "1",
        "resample_probability": "0.5",
    }
    rounds = 20

"""pykatib's own algorithms keep what `pykatib.algorithms.conformance` asks of every algorithm."""

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import AlgorithmConformance, ExhaustionConformance, OneByOneConformance


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

"""pykatib's own algorithms keep what `pykatib.algorithms.conformance` asks of every algorithm."""

from pykatib.algorithms import registry
from pykatib.algorithms.conformance import AlgorithmConformance, ExhaustionConformance, OneByOneConformance


class TestRandom(OneByOneConformance, ExhaustionConformance, AlgorithmConformance):
    info = registry.info("random")


class TestGrid(OneByOneConformance, ExhaustionConformance, AlgorithmConformance):
    info = registry.info("grid")


class TestSobol(OneByOneConformance, ExhaustionConformance, AlgorithmConformance):
    info = registry.info("sobol")

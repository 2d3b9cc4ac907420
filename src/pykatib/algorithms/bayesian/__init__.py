"""Bayesian optimisation: a model of the objective, and the point where trying it promises most."""

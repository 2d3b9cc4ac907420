"""Successive halving and what is built on it: many configurations get a little of a resource, the better ones more.

`ladder` knows how much there is at each level, `brackets` where configurations begin and how many go on, `search` does
the rest. `hyperband`, `asha` and `bohb` are these, put together in three ways.
"""

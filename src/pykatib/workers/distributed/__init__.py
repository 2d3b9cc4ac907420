"""Distributed worker jobs: several replicas of one Trial, as processes of this machine.

`team` is a job's replicas as values, one file a kind says what its training operator tells them (`pytorch`,
`tensorflow`, `xgboost`, `mpi`, `jax`, `paddle`; `kinds` lists them), `plan` puts them together into a plan of one
process, `gang`, which starts all replicas, ends them together and tells in a `report` how each ended. So a job stays
one process to whoever runs it: what holds for those (slots taken at once, deaths at any moment, deadlines) holds here.
"""

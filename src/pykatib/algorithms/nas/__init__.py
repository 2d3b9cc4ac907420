"""Architecture search: what `nasConfig` means, and the algorithms that search it.

`operations` reads the manifest's operations, `space` is the set of all architectures, `strings` are the texts that
Trials get. `controller` is ENAS's network, `reinforce` how it learns, `enas` the algorithm around both; `darts` hands a
gradient search to its one Trial. The networks that Trials build from those texts are in `pykatib.nas`.
"""

"""What the Trials of architecture search run: networks built from the texts that they get, trained with torch.

It needs the extra `nas`, and nothing else of pykatib imports it but who exports networks. `plans` and `genotype` read
texts without torch and refuse what cannot be built; `layers`, `chain` and `cells` are the networks; `bilevel` is
DARTS's search; `images`, `devices`, `checkpoints` and `training` are how either is trained; `enas_program` and
`darts_program` are the command lines of Katib's images `enas-cnn-cifar10` and `darts-cnn-cifar10`.

What a search has found is read by `found`, drawn by `pictures` with `drawing`, written down as source by `sources`, and
trained from scratch by the manifest of `retraining`, that of cells with the command line of `retrain_program`.
"""

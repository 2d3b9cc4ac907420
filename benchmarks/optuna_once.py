"""Runs the shared search once with Optuna, in this process, and says on its last line, as JSON, what it took.

To be run by an interpreter that has Optuna (see README.md); pykatib need not be there.

    PEER_PYTHON benchmarks/optuna_once.py memory|sqlite|journal 3000

Random search, one trial after the other, `study.optimize` from its call to its return. Files are made in a folder that
is thrown away.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

import mixed_problem


def objective(trial: optuna.Trial) -> float:
    """Asks for the five parameters and hands them to the shared function."""
    return mixed_problem.objective(
        {
            "x": trial.suggest_float("x", *mixed_problem.X),
            "y": trial.suggest_float("y", *mixed_problem.Y),
            "lr": trial.suggest_float("lr", *mixed_problem.LEARNING_RATE, log=True),
            "layers": trial.suggest_int("layers", *mixed_problem.LAYERS),
            "optimizer": trial.suggest_categorical("optimizer", mixed_problem.OPTIMIZERS),
        }
    )


def storage_of(kind: str, folder: Path) -> BaseStorage:
    """One of Optuna's storages, as its manual sets it up."""
    if kind == "memory":
        return InMemoryStorage()
    if kind == "sqlite":
        return RDBStorage(f"sqlite:///{folder / 'optuna.db'}")
    return JournalStorage(JournalFileBackend(str(folder / "optuna.log")))


def main() -> None:
    """Runs and prints."""
    kind, trial_count = sys.argv[1], int(sys.argv[2])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        storage = storage_of(kind, Path(folder))
        study = optuna.create_study(storage=storage, sampler=optuna.samplers.RandomSampler(seed=7))
        wall, cpu = time.perf_counter(), time.process_time()
        study.optimize(objective, n_trials=trial_count)
        figures = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        assert len(study.trials) == trial_count, len(study.trials)
    print(json.dumps({**figures, "version": optuna.__version__}))


if __name__ == "__main__":
    main()

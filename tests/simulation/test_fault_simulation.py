"""Whatever happens in between, every search comes to the end it would have come to, and to rest.

`PYKATIB_SIMULATION_SEEDS` says how many seeds of each kind of world are run (66 where it is not set), and
`PYKATIB_SIMULATION_FIRST_SEED` where they start. A seed that breaks a law is printed, and breaks it again.
"""

import logging
import os
import traceback
from functools import cache
from pathlib import Path

import pytest
from faulty_stores import experiments_in
from world import GRID_SIZE, Kind, World, experiment

from pykatib.api import names
from pykatib.api.shared import ParameterAssignment
from pykatib.control.view import trial_state

SEEDS = int(os.environ.get("PYKATIB_SIMULATION_SEEDS", "66"))
FIRST_SEED = int(os.environ.get("PYKATIB_SIMULATION_FIRST_SEED", "0"))
CHUNK = 11
ALGORITHMS = ("random", "grid", "sobol")


@pytest.fixture(autouse=True)
def _quiet() -> None:
    logging.getLogger("pykatib.runtime.control_plane").setLevel(logging.CRITICAL)


@cache
def undisturbed(algorithm: str, random_state: int) -> list[tuple[ParameterAssignment, ...]]:
    """What a search proposes when nothing goes wrong."""
    world = World(0, "memory", Path())
    world.is_calm = True
    world.door.create(experiment("calm", algorithm, random_state, max_trial_count=40, parallel_trial_count=2))
    world.run_calmly_to_the_end()
    return world.proposals(*experiments_in(world.store))


def run(seed: int, kind: Kind, folder: Path) -> None:
    world = World(seed, kind, folder)
    rng = world.rng
    try:
        for index in range(rng.choice((1, 1, 2))):
            made = experiment(
                f"e{index}",
                rng.choice(ALGORITHMS),
                rng.randint(1, 4),
                retain=rng.random() < 0.2,
                parallel_trial_count=rng.randint(1, 4),
                max_trial_count=rng.randint(4, 16),
                max_failed_trial_count=rng.choice((None, None, 4)),
                active_deadline_seconds=rng.choice((None, None, None, 60)),
                goal=rng.choice((None, None, 1.0)),
            )
            world.door.create(made)
        for number in range(rng.randint(60, 200)):
            world.do_something()
            if number % 4 == 0:
                world.check()
        world.run_calmly_to_the_end()
        world.check_the_end()
        for of in experiments_in(world.store):
            assert of.spec.algorithm is not None
            state = int(of.spec.algorithm.algorithm_settings[0].value)
            expected = undisturbed(of.spec.algorithm.algorithm_name, state)
            proposed = world.proposals(of)
            assert proposed == expected[: len(proposed)], "other proposals than in an undisturbed run"
        _check_that_a_new_process_finds_nothing_to_do(world)
    finally:
        world.close()


def _check_that_a_new_process_finds_nothing_to_do(world: World) -> None:
    world.flush()
    world.restart()
    world.rest()  # lists of names may come into another order once
    world.flush()
    world.restart()
    before = world.faults.write_count
    world.rest()
    assert world.faults.write_count == before, "a new process writes though nothing has changed"


def failures_of(seeds: range, kind: Kind, folder: Path) -> list[str]:
    failures = []
    for seed in seeds:
        own = folder / str(seed)
        own.mkdir()
        try:
            run(seed, kind, own)
        except Exception:
            failures.append(f"seed {seed} of a world of kind {kind}:\n{traceback.format_exc()}")
    return failures


@pytest.mark.parametrize("kind", ["memory", "late", "sqlite"])
@pytest.mark.parametrize("start", range(FIRST_SEED, FIRST_SEED + SEEDS, CHUNK))
def test_every_search_comes_to_its_end_whatever_happens(start: int, kind: Kind, tmp_path: Path) -> None:
    seeds = range(start, min(start + CHUNK, FIRST_SEED + SEEDS))
    failures = failures_of(seeds, kind, tmp_path)
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_an_undisturbed_search_is_what_the_simulation_compares_with(algorithm: str) -> None:
    proposed = undisturbed(algorithm, 1)
    assert len(proposed) == len({*proposed}) == GRID_SIZE


def test_a_seed_says_everything(tmp_path: Path) -> None:
    def traced(folder: Path) -> list[tuple[str, str, float]]:
        folder.mkdir()
        world = World(5, "late", folder)
        world.door.create(experiment("e0", "random", 2, parallel_trial_count=3, max_trial_count=9))
        for _ in range(150):
            world.do_something()
        world.run_calmly_to_the_end()
        found = [obj for obj in world.store.list(names.TRIAL) if hasattr(obj, "spec")]
        return [
            (trial.metadata.name, trial_state(trial), world.clock.now())  # type: ignore[arg-type]
            for trial in found
        ]

    assert traced(tmp_path / "a") == traced(tmp_path / "b") != []

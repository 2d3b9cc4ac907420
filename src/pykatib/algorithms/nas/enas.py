"""ENAS (Pham et al. 2018) as Katib has it: a controller proposes architectures, Trials train them, and it learns.

Each Trial's reward goes to the architecture that this Trial was given, which is read from its own assignments. The
controller is a fold over the Trials that have ended, in the order in which they were proposed: whoever is told the same
Trials, in whatever order and however often it was asked in between, has the same controller. Only what comes after a
Trial that ends late is learnt anew.

States on the way are kept in a store of this process, by a digest of all that led to them. They are what a pure
function has returned, so instances may share them: a service that makes an algorithm for every request pays for the
new results only.

Failed Trials, those without metrics, and those whose objective is not a finite number earn as little as the worst so
far; where nothing has been earned yet they teach nothing, and killed ones never do. Early-stopped ones count with what
they reached.
"""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from pykatib.algorithms.contract import Ask, FinishedTrial, Proposal
from pykatib.algorithms.description import Settings
from pykatib.algorithms.nas.controller import Batch, ControllerShape
from pykatib.algorithms.nas.reinforce import Learner, LearningSettings
from pykatib.algorithms.nas.space import Architecture, ArchitectureSpace
from pykatib.algorithms.problem import Problem

ATTEMPTS: Final = 32
STORE_BYTES: Final = 64 << 20


class LearnerStore:
    """The learners that were used last, by what led to them; as many as `limit` bytes hold, and one at least."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._learners: OrderedDict[bytes, Learner] = OrderedDict()

    def get(self, digest: bytes) -> Learner | None:
        """The learner of that history, where it is still here."""
        found = self._learners.pop(digest, None)
        if found is not None:
            self._learners[digest] = found
        return found

    def put(self, digest: bytes, learner: Learner) -> None:
        """Keeps a learner, and lets go of those not used for longest."""
        self._learners[digest] = learner
        # Several threads may be here: each call on the dictionary is whole in itself, and losing a learner costs time.
        while len(self._learners) > max(1, self._limit // learner.nbytes):
            self._learners.popitem(last=False)


_STORE: Final = LearnerStore(STORE_BYTES)


class Enas:
    """The algorithm `enas`."""

    def __init__(self, problem: Problem, settings: Settings, *, seed: int, store: LearnerStore | None = None) -> None:
        space = problem.space
        assert isinstance(space, ArchitectureSpace), "`searched` makes it one"
        self._problem = problem
        self._space = space
        self._store = _STORE if store is None else store
        shape = ControllerShape(
            layers=space.layers,
            operations=len(space.operations),
            hidden_size=_whole(settings["controller_hidden_size"]),
            temperature=_number(settings["controller_temperature"]),
            tanh_const=_number(settings["controller_tanh_const"]),
        )
        learning = LearningSettings(
            learning_rate=_stated(settings["controller_learning_rate"]),
            train_steps=_whole(settings["controller_train_steps"]),
            baseline_decay=_stated(settings["controller_baseline_decay"]),
            entropy_weight=_number(settings["controller_entropy_weight"]),
            skip_target=min(_stated(settings["controller_skip_target"]), 0.999),
            skip_weight=_number(settings["controller_skip_weight"]),
        )
        self._start = Learner.start(shape, learning, seed=seed)
        self._origin = _digest(b"", repr((shape, learning, seed)))
        self._finished: list[FinishedTrial] = []

    def tell(self, finished: Sequence[FinishedTrial]) -> None:
        """Takes notice of Trials that have ended."""
        self._finished.extend(finished)
        self._finished.sort(key=lambda trial: (trial.index, trial.name))

    def ask(self, request: Ask) -> Sequence[Proposal]:
        """Architectures drawn from the controller, none twice as long as it finds new ones."""
        learner = self.learner()
        taken = {trial.values[0] for trial in self._finished} | {trial.values[0] for trial in request.active}
        controller = learner.controller
        proposals = []
        for index in range(request.issued, request.issued + request.count):
            values = ("", "")
            for units in learner.units(index, ATTEMPTS):
                values = self._space.encode(_architectures(controller.sample(units[None]))[0])
                if values[0] not in taken:
                    break
            taken.add(values[0])
            proposals.append(Proposal(values))
        return proposals

    def learner(self) -> Learner:
        """The controller after all Trials that have been told."""
        lessons = self._lessons()
        digests = [self._origin]
        for architecture, reward in lessons:
            digests.append(_digest(digests[-1], repr((architecture.operations, architecture.bits, reward))))
        known, learner = len(lessons), None
        while known > 0 and (learner := self._store.get(digests[known])) is None:
            known -= 1
        learner = self._start if learner is None else learner
        for place in range(known, len(lessons)):
            architecture, reward = lessons[place]
            learner = learner.learn(Batch.of([(architecture.operations, architecture.bits)]), [reward])
            self._store.put(digests[place + 1], learner)
        return learner

    def _lessons(self) -> list[tuple[Architecture, float]]:
        """What was earned by which architecture, in the order of proposals."""
        lessons = []
        worst: float | None = None
        for trial in self._finished:
            try:
                architecture = self._space.decode(trial.values)
            except ValueError:
                continue  # somebody has changed the assignments: there is nothing to learn about this space
            reward = self._reward(trial)
            if reward is None:
                if trial.outcome == "killed" or worst is None:
                    continue
                reward = worst
            worst = reward if worst is None else min(worst, reward)
            lessons.append((architecture, reward))
        return lessons

    def _reward(self, trial: FinishedTrial) -> float | None:
        loss = self._problem.loss(trial.objective)
        return None if loss is None or not math.isfinite(loss) else -loss


def _architectures(batch: Batch) -> list[Architecture]:
    """What a batch holds, one by one."""
    return [
        Architecture(
            tuple(int(operation) for operation in operations),
            tuple(tuple(int(bit) for bit in of_layer[:layer]) for layer, of_layer in enumerate(bits)),
        )
        for operations, bits in zip(batch.operations, batch.bits, strict=True)
    ]


def _digest(before: bytes, text: str) -> bytes:
    return hashlib.blake2b(before + text.encode(), digest_size=16).digest()


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _stated(value: object) -> float:
    number = _number(value)
    assert number is not None, "the setting has a default and does not take None"
    return number


def _whole(value: object) -> int:
    return int(_stated(value))

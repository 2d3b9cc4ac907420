"""What the planner of an Experiment needs to know of its Trials, kept up to date one change at a time.

Recomputing the tallies from all Trials at each step would make a long Experiment quadratic. An `ExperimentView` is
told of every change (`apply`) and always equals the view that is built from the Trials anew; a property test holds it
to that. The order of its lists is the order in which Trials came to each state; in a view that was built anew, those
that had ended before are in the order of their creation. Which Trial is best does not depend on it.
"""

from pykatib.api import names
from pykatib.api.experiment import OptimalTrial
from pykatib.api.objectives import Direction
from pykatib.api.sequences import EMPTY_LOG, AppendLog
from pykatib.api.suggestion import TrialAssignment
from pykatib.api.trial import Trial
from pykatib.control.observation import number_of, value_text
from pykatib.control.pareto import ParetoFront

PENDING = "Pending"

# Katib's order: the first that holds names the state.
_PRECEDENCE = (
    names.KILLED,
    names.FAILED,
    names.SUCCEEDED,
    names.EARLY_STOPPED,
    names.RUNNING,
    names.METRICS_UNAVAILABLE,
)
FINISHED_STATES = (
    names.SUCCEEDED,
    names.FAILED,
    names.KILLED,
    names.EARLY_STOPPED,
    names.METRICS_UNAVAILABLE,
)


def trial_state(trial: Trial) -> str:
    """The one state under which a Trial is counted.

    EarlyStopped is written from outside, by whoever stops Trials; it counts once the controller has read the
    observation and completed the Trial.
    """
    held = {condition.type for condition in trial.status.conditions if condition.status == names.TRUE}
    if trial.status.completion_time is None:
        held.discard(names.EARLY_STOPPED)
    for kind in _PRECEDENCE:
        if kind in held:
            return kind
    return PENDING


def is_finished(trial: Trial) -> bool:
    """True when the Trial has come to its end, whichever."""
    return trial_state(trial) in FINISHED_STATES


class ExperimentView:
    """Tallies, name lists and the best Trial of one Experiment."""

    def __init__(self) -> None:
        self._state_by_name: dict[str, str] = {}
        self._active: dict[str, dict[str, None]] = {PENDING: {}, names.RUNNING: {}}
        self._finished: dict[str, AppendLog[str]] = dict.fromkeys(FINISHED_STATES, EMPTY_LOG)
        self._trials: dict[str, Trial] = {}
        self.history: list[Trial] = []
        """Finished Trials in the order of their ends; only ever appended to, but for deleted Trials."""
        self.removal_count = 0
        """How often a finished Trial was deleted; `history` keeps its order but not its positions when this grows."""
        self.best: Trial | None = None
        self.best_value = float("nan")
        self._best_merit = (0, 0.0, 0)
        self._first_unstarted = 0
        self._stopped: set[str] = set()
        self._order: dict[str, int] = {}  # of creation, as it was told
        self._next_order = 0
        self._front: ParetoFront | None = None
        self._front_length = 0  # how much of the history the front has seen

    def apply(self, old: Trial | None, new: Trial | None) -> None:
        """Takes notice of a Trial that has come, changed or gone."""
        if new is None:
            if old is not None and self._is_same(old):
                self._remove(old.metadata.name)
            return
        name = new.metadata.name
        known = self._trials.get(name)
        if known is not None and known.metadata.uid != new.metadata.uid:  # deleted and made anew, unheard
            self._remove(name)
            known = None
        if name not in self._order:
            self._order[name] = self._next_order
            self._next_order += 1
        before = self._state_by_name.get(name)
        state = trial_state(new)
        self._trials[name] = new
        if new.spec.stop and state not in FINISHED_STATES:
            self._stopped.add(name)
        elif self._stopped:
            self._stopped.discard(name)
        if before == state and state not in FINISHED_STATES:
            return
        if before in FINISHED_STATES:
            # A Trial's end is final, but its observation may still be mended: rare enough to pay for a rebuild.
            if before != state or known is None or known.status.observation != new.status.observation:
                self._rebuild()
            return
        if before is not None:
            del self._active[before][name]
        self._state_by_name[name] = state
        if state in FINISHED_STATES:
            self._finished[state] = self._finished[state].append(name)
            self.history.append(new)
            self._consider(new)
        else:
            self._active[state][name] = None

    def _is_same(self, trial: Trial) -> bool:
        known = self._trials.get(trial.metadata.name)
        return known is not None and known.metadata.uid == trial.metadata.uid

    def _consider(self, trial: Trial) -> None:
        """Makes a finished Trial the best one if it is.

        Of equal values the Trial that was created first wins, of texts (genotypes) the one created last, as in Katib.
        Any number goes before a text, and a text before NaN, so that the order of ends does not matter.
        """
        objective = trial.spec.objective
        if objective is None or self._state_by_name[trial.metadata.name] not in (names.SUCCEEDED, names.EARLY_STOPPED):
            return
        text = value_text(trial.status.observation, objective, objective.objective_metric_name)
        if text == names.UNAVAILABLE:
            return
        merit = self._merit_of(trial, text, maximises=objective.type == names.MAXIMIZE)
        if self.best is None or merit > self._best_merit:
            self.best, self._best_merit = trial, merit
            value = number_of(text)
            self.best_value = float("nan") if value is None else value

    def _merit_of(self, trial: Trial, text: str, *, maximises: bool) -> tuple[int, float, int]:
        value, order = number_of(text), self._order[trial.metadata.name]
        if value is None:
            return (1, 0.0, order)
        if value != value:
            return (0, 0.0, -order)
        return (2, value if maximises else -value, -order)

    def _remove(self, name: str) -> None:
        state = self._state_by_name.pop(name, None)
        self._trials.pop(name, None)
        self._order.pop(name, None)
        self._stopped.discard(name)
        self._first_unstarted = 0
        if state in FINISHED_STATES:
            self._rebuild()
        elif state is not None:
            del self._active[state][name]

    def _rebuild(self) -> None:
        """Starts anew from the Trials that are there, in the order in which they came to their ends."""
        ended = [self._trials[trial.metadata.name] for trial in self.history if trial.metadata.name in self._trials]
        removal_count = self.removal_count + 1
        trials, order, next_order = list(self._trials.values()), self._order, self._next_order
        self.__init__()  # type: ignore[misc]  # every field anew, in one place
        self.removal_count = removal_count
        self._order, self._next_order = order, next_order
        for trial in ended:
            self.apply(None, trial)
        for trial in trials:
            if trial.metadata.name not in self._state_by_name:
                self.apply(None, trial)

    def __contains__(self, trial_name: object) -> bool:
        return trial_name in self._state_by_name

    @property
    def trial_count(self) -> int:
        """All Trials that exist."""
        return len(self._state_by_name)

    @property
    def active_count(self) -> int:
        """Trials that have not come to their end."""
        return len(self._active[PENDING]) + len(self._active[names.RUNNING])

    @property
    def stopped_count(self) -> int:
        """Active Trials that are held back or being ended (`spec.stop`)."""
        return len(self._stopped)

    @property
    def finished_count(self) -> int:
        """Trials that have come to their end, whichever: the one definition of completed."""
        return len(self.history)

    def count(self, state: str) -> int:
        """How many Trials are in a state."""
        return len(self._active[state]) if state in self._active else len(self._finished[state])

    def active_names(self, state: str) -> tuple[str, ...]:
        """Names of the Trials in `Pending` or `Running`."""
        return tuple(self._active[state])

    def finished_names(self, state: str) -> AppendLog[str]:
        """Names of the Trials that ended in a state, in the order of their ends."""
        return self._finished[state]

    def active_trials(self) -> list[Trial]:
        """The Trials that have not come to their end, oldest first."""
        active = self._active
        found = [self._trials[name] for state in (names.RUNNING, PENDING) for name in active[state]]
        found.sort(key=lambda trial: self._order[trial.metadata.name])
        return found

    def optimal_trial(self) -> OptimalTrial | None:
        """The best Trial as the Experiment's status shows it."""
        best = self.best
        if best is None or best.status.observation is None:
            return None
        return OptimalTrial(best.metadata.name, best.spec.parameter_assignments, best.status.observation)

    def pareto_front(self, directions: tuple[Direction, ...]) -> ParetoFront | None:
        """The Trials that no other beats in these objectives; None where there are not several.

        It is kept while the same is asked for, so that a Trial is looked at once.
        """
        if len(directions) < 2:
            return None
        if self._front is None or self._front.directions != directions:
            self._front, self._front_length = ParetoFront(directions), 0
        for trial in self.history[self._front_length :]:
            if self._state_by_name[trial.metadata.name] in (names.SUCCEEDED, names.EARLY_STOPPED):
                self._front.consider(trial, self._order[trial.metadata.name])
        self._front_length = len(self.history)
        return self._front

    def unstarted(self, assignments: AppendLog[TrialAssignment], limit: int) -> list[TrialAssignment]:
        """The first `limit` assignments that have no Trial. Constant on average: it remembers where they begin."""
        found: list[TrialAssignment] = []
        index = self._first_unstarted
        contiguous = True
        while index < len(assignments) and len(found) < limit:
            assignment = assignments[index]
            if assignment.name in self._state_by_name:
                index += 1
                if contiguous:
                    self._first_unstarted = index
            else:
                contiguous = False
                found.append(assignment)
                index += 1
        return found

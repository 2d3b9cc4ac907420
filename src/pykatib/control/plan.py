"""Plans: what a decision wants done, as values. The runtime carries them out in their order.

Between two actions the process may die: planners put them in an order in which doing the first ones alone does no
harm, and planning again after all of them have been done plans nothing new.
"""

from typing import TypeAlias

import msgspec

from pykatib.api.meta import Reference
from pykatib.api.objects import Object


class Create(msgspec.Struct, frozen=True):
    """Create an object; that it exists already is fine."""

    object: Object


class Update(msgspec.Struct, frozen=True):
    """Write metadata and spec."""

    object: Object


class UpdateStatus(msgspec.Struct, frozen=True):
    """Write the status."""

    object: Object


class Delete(msgspec.Struct, frozen=True):
    """Delete that very object; that it is gone already is fine."""

    reference: Reference
    uid: str


class ForgetObservations(msgspec.Struct, frozen=True):
    """Delete the metric logs of a Trial."""

    namespace: str
    trial_name: str


class Tell(msgspec.Struct, frozen=True):
    """Record an event about an object."""

    about: Reference
    type: str
    reason: str
    message: str


Action: TypeAlias = Create | Update | UpdateStatus | Delete | ForgetObservations | Tell


class Plan(msgspec.Struct, frozen=True):
    """Actions in their order, and after how many seconds to look again though nothing has changed."""

    actions: tuple[Action, ...] = ()
    look_again_seconds: float | None = None


NOTHING = Plan()

"""What `katib get` selects, printed once or as it changes."""

import time
from typing import NamedTuple

import click

from pykatib.api import names
from pykatib.api.experiment import Experiment
from pykatib.cli.lookup import KINDS, KatibObject, find_one
from pykatib.cli.place import Place
from pykatib.cli.shapes import print_objects, table_of


class Selection(NamedTuple):
    """Which objects are wanted; empty members choose nothing out."""

    kind: str
    names: tuple[str, ...] = ()
    experiment: str = ""
    namespace: str = ""

    def takes(self, found: KatibObject) -> bool:
        """True for an object that is wanted."""
        meta = found.metadata
        return (
            found.kind == self.kind
            and (not self.names or meta.name in self.names)
            and (not self.namespace or meta.namespace == self.namespace)
            and (not self.experiment or experiment_of(found) == self.experiment)
        )


def experiment_of(found: KatibObject) -> str:
    """The name of the Experiment that an object belongs to, or is."""
    if found.kind == names.TRIAL:
        return found.metadata.labels.get(names.LABEL_EXPERIMENT, "")
    return found.metadata.name


def _labels(selection: Selection) -> dict[str, str]:
    """What the place itself can choose by."""
    chooses = selection.experiment and selection.kind == names.TRIAL
    return {names.LABEL_EXPERIMENT: selection.experiment} if chooses else {}


def select(place: Place, selection: Selection) -> list[KatibObject]:
    """What is there of it, oldest first.

    Raises:
        NotFound: a name, or the Experiment, is not there.
        InvalidInput: a name is in several namespaces.
    """
    if selection.experiment:
        find_one(place, Experiment, selection.experiment, selection.namespace)
    if selection.names:
        return [_find(place, selection.kind, name, selection.namespace) for name in selection.names]
    found = place.list(selection.kind, namespace=selection.namespace or None, labels=_labels(selection))
    return [one for one in found if isinstance(one, KatibObject) and selection.takes(one)]


def _find(place: Place, kind: str, name: str, namespace: str) -> KatibObject:
    return find_one(place, KINDS[kind], name, namespace)


def _shown(place: Place, found: list[KatibObject], output: str) -> list[KatibObject]:
    """Whole objects, where all of them is printed."""
    if output not in ("json", "yaml"):
        return found
    return [one for one in map(place.whole, found) if isinstance(one, KatibObject)]


def list_once(place: Place, selection: Selection, output: str, *, all_namespaces: bool) -> None:
    """Prints what is there."""
    found = select(place, selection)
    if not found and output in ("table", "wide"):
        where = f" in namespace {selection.namespace}" if selection.namespace else ""
        click.echo(f"No {selection.kind}s found{where}.", err=True)
        return
    as_list = len(selection.names) != 1
    print_objects(_shown(place, found, output), output, as_list=as_list, all_namespaces=all_namespaces)


def watch_changes(place: Place, selection: Selection, output: str, *, all_namespaces: bool) -> None:
    """Prints what is there and then whatever changes, one object after the other, until somebody has seen enough."""
    if selection.names or selection.experiment:
        select(place, selection)  # names that are not there are told
    printer = _Printer(output, all_namespaces=all_namespaces)
    for batch in place.changes(selection.kind, namespace=selection.namespace or None, labels=_labels(selection)):
        found = [one for one in batch if isinstance(one, KatibObject) and selection.takes(one)]
        printer.print(_shown(place, found, output))


class _Printer:
    """Prints one batch after another; a table keeps the columns and the widths of its first rows where they suffice."""

    def __init__(self, output: str, *, all_namespaces: bool) -> None:
        self._output = output
        self._all_namespaces = all_namespaces
        self._widths: list[int] = []

    def print(self, found: list[KatibObject]) -> None:
        if self._output not in ("table", "wide"):
            for one in found:
                print_objects([one], self._output, as_list=False)
                if self._output == "yaml":
                    click.echo("---")
        elif found:
            wide = self._output == "wide"
            header, rows = table_of(found, time.time(), wide=wide, all_namespaces=self._all_namespaces)
            if not self._widths:
                self._widths = [max(len(row[index]) for row in (header, *rows)) for index in range(len(header))]
                self._print_row(header)
            for row in rows:
                self._print_row(row)

    def _print_row(self, row: list[str]) -> None:
        cells = [cell.ljust(width) for cell, width in zip(row, self._widths, strict=False)]
        click.echo("   ".join(cells).rstrip())

"""`katib get`: what there is, as tables or data, once or as it changes."""

import click

from pykatib.cli.options import Where, experiment_names, names_of_kind, output_option, place_options

KIND_WORDS = {
    "experiments": "Experiment",
    "experiment": "Experiment",
    "exp": "Experiment",
    "suggestions": "Suggestion",
    "suggestion": "Suggestion",
    "trials": "Trial",
    "trial": "Trial",
}


class KindParameter(click.Choice[str]):
    """A kind in any of its spellings; the plain ones are completed."""

    def __init__(self) -> None:
        super().__init__(("experiments", "suggestions", "trials"))

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The kind's proper name."""
        word = str(value)
        return word if word in KIND_WORDS.values() else KIND_WORDS[self._known(word, param, ctx)]

    def _known(self, word: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return word.lower() if word.lower() in KIND_WORDS else super().convert(word, param, ctx)


@click.command()
@click.argument("kind", type=KindParameter(), metavar="experiments|suggestions|trials")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=names_of_kind)
@output_option("table", "wide", "json", "yaml", "csv", "name", text="How to print it.", default="table")
@click.option("-w", "--watch", is_flag=True, help="Go on printing what changes, until Ctrl-C.")
@click.option("-e", "--experiment", default="", help="Trials of this Experiment only.", shell_complete=experiment_names)
@click.option("-n", "--namespace", default="", help="This namespace only. [default: all; of a cluster, the context's]")
@click.option("-A", "--all-namespaces", is_flag=True, help="All namespaces, with a column that names them.")
@place_options
def command(
    kind: str,
    names: tuple[str, ...],
    output: str,
    watch: bool,
    experiment: str,
    namespace: str,
    all_namespaces: bool,
    where: Where,
) -> None:
    """List Experiments, Suggestions or Trials, with the columns that kubectl prints for Katib.

    Everything that ever ran in the home folder, or that is in the cluster. A column NAMESPACE is added when something
    is in another namespace than `default`. One NAME with -o json or yaml prints the object itself, else a List.
    """
    from pykatib.cli.listing import Selection, list_once, watch_changes
    from pykatib.cli.place import open_place

    if all_namespaces and namespace:
        raise click.UsageError("--all-namespaces and --namespace exclude each other.")
    if watch and output == "csv":
        raise click.UsageError("--watch prints table, wide, json, yaml or name, not csv.")
    with open_place(where) as place:
        within = "" if all_namespaces else namespace or place.default_namespace
        selection = Selection(kind, names, experiment, within)
        if watch:
            watch_changes(place, selection, output, all_namespaces=all_namespaces)
        else:
            list_once(place, selection, output, all_namespaces=all_namespaces)

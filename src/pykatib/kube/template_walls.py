"""Which ConfigMaps an Experiment may take its Trial template from, so that namespaces stay walls.

Katib reads any ConfigMap of the cluster for anybody who names it. Here an Experiment has those of its own namespace,
and the ones which an administrator offers to all: in Katib's namespace, with the label by which Katib's pages know
templates, `katib.kubeflow.org/component: trial-templates`. Others are not even looked for, so that nobody learns
whether there is one. The operator holds itself to the same rule when it makes Trials, for an Experiment may have been
stored while nobody judged it.

Webhooks answer whoever can reach their port, and a review may be made up. So what is wrong within a template, names of
its keys included, is told of ConfigMaps with that label alone; of any other, that no sound template was found. Who runs
`katib validate` on the files is told everything.
"""

from pykatib.api import names, wire
from pykatib.api.errors import FieldError, InvalidInput, NotFound
from pykatib.api.experiment import ConfigMapSource, Experiment
from pykatib.api.meta import Reference
from pykatib.api.objects import ConfigMap
from pykatib.api.validation import Templates
from pykatib.store.kubernetes.api_server import ApiServer
from pykatib.store.kubernetes.resources import UNCACHED

PATH = "spec.trialTemplate.configMap"
TRIAL_TEMPLATES = "trial-templates"
_RESOURCE = next(each for each in UNCACHED if each.kind == names.CONFIG_MAP)


class TemplateWalls:
    """The rule, for a cluster whose Katib lives in the namespace `core`."""

    def __init__(self, core: str) -> None:
        self._core = core

    def check_place(self, namespace: str, source: str) -> None:
        """Raises InvalidInput where an Experiment of one namespace can have nothing of another."""
        if source not in (namespace, self._core):
            raise InvalidInput([FieldError(f"{PATH}.configMapNamespace", self._advice(namespace, source))])

    def check(self, namespace: str, found: ConfigMap) -> None:
        """Raises InvalidInput where an Experiment of that namespace may not use this ConfigMap."""
        meta = found.metadata
        self.check_place(namespace, meta.namespace)
        if meta.namespace != namespace and not is_offered(found):
            raise _not_there(meta.namespace, meta.name)

    def _advice(self, namespace: str, source: str) -> str:
        return (
            f'found "{source}"; a template is taken from the Experiment\'s own namespace, "{namespace}", or, where it '
            f'has the label {names.LABEL_COMPONENT}: {TRIAL_TEMPLATES}, from "{self._core}"'
        )


def is_offered(found: ConfigMap) -> bool:
    """Whether it is meant for everybody, where it lies in Katib's namespace."""
    return found.metadata.labels.get(names.LABEL_COMPONENT) == TRIAL_TEMPLATES


def no_sound_template(experiment: Experiment) -> FieldError:
    """All that is said of a template that is missing or wrong, where more might tell a stranger too much."""
    template = experiment.spec.trial_template
    source = (template.config_map if template is not None else None) or ConfigMapSource()
    message = (
        f"found no sound template: there is no ConfigMap {source.config_map_namespace}/{source.config_map_name} with "
        f"the key {source.template_path}, or something is wrong with what it holds; give it the label "
        f"{names.LABEL_COMPONENT}: {TRIAL_TEMPLATES} to be told what, or ask `katib validate`"
    )
    return FieldError(f"{PATH}.configMapName", message)


def _not_there(namespace: str, name: str) -> InvalidInput:
    # As where there is none: who may not use it need not know that it is there.
    return InvalidInput([FieldError(f"{PATH}.configMapName", f"there is no ConfigMap {namespace}/{name} for you")])


def finder(server: ApiServer, walls: TemplateWalls, experiment_namespace: str) -> Templates:
    """Finds the ConfigMaps that Experiments of a namespace may use. What it finds raises as `ApiServer.request`."""

    def find(namespace: str, name: str) -> ConfigMap | None:
        walls.check_place(experiment_namespace, namespace)
        try:
            answer = server.request("GET", _RESOURCE.path(Reference(names.CONFIG_MAP, namespace, name)))
        except NotFound:
            if namespace != experiment_namespace:
                raise _not_there(namespace, name) from None
            return None
        found = wire.decode(answer, ConfigMap)
        walls.check(experiment_namespace, found)
        return found

    return find

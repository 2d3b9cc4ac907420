"""Every mistake is answered with its path, what was found and what would do, and all of them at once."""

from typing import Any

import pytest
from experiment_samples import DELETE, FROM_CONFIG_MAP, GOOD, edited, read

from pykatib.api.errors import InvalidInput

NAS = {
    "graphConfig": {"numLayers": 2, "inputSizes": [32, 32, 3], "outputSizes": [10]},
    "operations": [
        {
            "operationType": "convolution",
            "parameters": [{"name": "size", "parameterType": "categorical", "feasibleSpace": {"list": ["3", "5"]}}],
        }
    ],
}
SPACE = "spec.parameters[0].feasibleSpace"
LIST = "spec.parameters[3].feasibleSpace"
TEMPLATE = "spec.trialTemplate"
JOB = f"{TEMPLATE}.trialSpec"
POD = f"{JOB}.spec.template.spec"
COLLECTOR = "spec.metricsCollectorSpec"
FILE = {"path": "/metrics.log", "kind": "File"}
MAP = f"{TEMPLATE}.configMap"


def collector(kind: str, **source: Any) -> dict[str, Any]:
    return {COLLECTOR: {"collector": {"kind": kind}, "source": source}}


def config_map(**changes: Any) -> dict[str, Any]:
    return {**FROM_CONFIG_MAP, MAP: {**FROM_CONFIG_MAP[MAP], **changes}}


# (edits of a good manifest, path of the mistake, words of its message)
REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # Structure
    ({"spec.maxTrials": 3}, "spec.maxTrials", "unknown field; did you mean `maxTrialCount`?"),
    ({"spec.max_trial_count": 3}, "spec.max_trial_count", "did you mean `maxTrialCount`?"),
    ({"spec.zzz": 3}, "spec.zzz", "unknown field; known here: activeDeadlineSeconds, algorithm"),
    ({"spec.maxTrialCount": "6"}, "spec.maxTrialCount", 'found the text "6", wanted a whole number: write it without'),
    ({"spec.maxTrialCount": 2.5}, "spec.maxTrialCount", "found the number 2.5, wanted a whole number"),
    ({"spec.maxTrialCount": True}, "spec.maxTrialCount", "found true, wanted a whole number"),
    ({"spec.parameters": {"lr": 1}}, "spec.parameters", "found a mapping, wanted a list of mappings"),
    ({"spec.parameters[0]": "lr"}, "spec.parameters[0]", 'found the text "lr", wanted a mapping with fields such as'),
    ({f"{SPACE}.min": 0.01}, f"{SPACE}.min", 'found the number 0.01, wanted text: write it in quotes: "0.01"'),
    ({f"{SPACE}.max": 1}, f"{SPACE}.max", 'write it in quotes: "1"'),
    (
        {"spec.parameters[3].feasibleSpace.list": [True]},
        "spec.parameters[3].feasibleSpace.list[0]",
        "yes, no, on and off",
    ),
    ({"spec.objective.goal": float("nan")}, "spec.objective.goal", "found the number .nan, wanted a finite number"),
    ({"spec.objective.goal": float("inf")}, "spec.objective.goal", "found the number .inf, wanted a finite number"),
    ({"spec.objective.goal": "0.9"}, "spec.objective.goal", "wanted a number: write it without quotes: 0.9"),
    ({"spec.algorithm": ["random"]}, "spec.algorithm", "found a list, wanted a mapping"),
    ({"spec.suspend": "true"}, "spec.suspend", "wanted true or false: write it without quotes: true"),
    ({"metadata.labels": {"a/b": 1}}, 'metadata.labels["a/b"]', 'write it in quotes: "1"'),
    ({TEMPLATE: {"trialSpec": "job"}}, JOB, 'found the text "job", wanted a mapping'),
    ({f"{JOB}.metadata.labels.x": float("inf")}, f"{JOB}.metadata.labels.x", "wanted a finite number"),
    ({"metadata": DELETE}, "metadata", "is required"),
    ({"kind": "Experimant"}, "kind", 'found "Experimant"; known kinds are Experiment, Suggestion, Trial, ConfigMap'),
    ({"kind": "Trial"}, "kind", 'found "Trial", wanted "Experiment"'),
    ({"apiVersion": "kubeflow.org/v1alpha3"}, "apiVersion", "the kind Experiment is of kubeflow.org/v1beta1"),
    # Names
    ({"metadata.name": "Tune"}, "metadata.name", 'found "Tune"; a name starts with a-z'),
    ({"metadata.name": "tune-"}, "metadata.name", "ends with a-z or 0-9"),
    ({"metadata.name": "tune\n"}, "metadata.name", "a name starts with a-z"),
    ({"metadata.name": "a" * 41}, "metadata.name", "found 41 characters, wanted at most 40"),
    ({"metadata.name": ""}, "metadata.name", "is required"),
    ({"metadata": {"generateName": "b" * 36}}, "metadata.generateName", "found 41 characters, wanted at most 40"),
    ({"metadata": {"generateName": "B-"}}, "metadata.generateName", "a name starts with a-z"),
    ({"metadata.namespace": "../up"}, "metadata.namespace", 'found "../up"; a namespace has at most 63'),
    # Budget
    ({"spec.maxFailedTrialCount": -1}, "spec.maxFailedTrialCount", "found -1, wanted at least 0"),
    ({"spec.maxTrialCount": 0}, "spec.maxTrialCount", "found 0, wanted at least 1"),
    ({"spec.maxTrialCount": 2**31}, "spec.maxTrialCount", "wanted at most 2147483647"),
    ({"spec.parallelTrialCount": 0}, "spec.parallelTrialCount", "found 0, wanted at least 1"),
    ({"spec.maxFailedTrialCount": 7}, "spec.maxFailedTrialCount", "found 7, which is more than maxTrialCount, 6"),
    ({"spec.parallelTrialCount": 7}, "spec.parallelTrialCount", "found 7, which is more than maxTrialCount, 6"),
    (
        {"spec.maxTrialCount": 2, "spec.maxFailedTrialCount": 1, "spec.parallelTrialCount": DELETE},
        "spec.parallelTrialCount",
        "3 is also what counts where nothing is said",
    ),
    ({"spec.activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds", "found 0, wanted at least 1"),
    ({f"{TEMPLATE}.activeDeadlineSeconds": -5}, f"{TEMPLATE}.activeDeadlineSeconds", "found -5, wanted at least 1"),
    ({f"{TEMPLATE}.retries": {"crash": -1}}, f"{TEMPLATE}.retries.crash", "found -1, wanted at least 0"),
    (
        {"spec.resumePolicy": "Longrunning"},
        "spec.resumePolicy",
        "one of Never, LongRunning, FromVolume; did you",
    ),
    # Objective
    ({"spec.objective": DELETE}, "spec.objective", "is required"),
    ({"spec.objective.type": "maximise"}, "spec.objective.type", "did you mean `maximize`?"),
    ({"spec.objective.type": DELETE}, "spec.objective.type", "is required: one of minimize, maximize"),
    ({"spec.objective.objectiveMetricName": " "}, "spec.objective.objectiveMetricName", "is required"),
    ({"spec.objective.additionalMetricNames": ["accuracy"]}, "spec.objective.additionalMetricNames[0]", "already"),
    ({"spec.objective.additionalMetricNames": ["a", "a"]}, "spec.objective.additionalMetricNames[1]", "a second time"),
    ({"spec.objective.additionalMetricNames": [""]}, "spec.objective.additionalMetricNames[0]", "is empty"),
    (
        {"spec.objective.metricStrategies": [{"name": "los", "value": "min"}]},
        "spec.objective.metricStrategies[0].name",
        "no metric of the objective; did you mean `loss`?",
    ),
    (
        {"spec.objective.metricStrategies": [{"name": "loss", "value": "mean"}]},
        "spec.objective.metricStrategies[0].value",
        'found "mean", wanted one of min, max, latest',
    ),
    (
        {"spec.objective.metricStrategies": [{"name": "loss", "value": "min"}, {"name": "loss", "value": "max"}]},
        "spec.objective.metricStrategies[1].name",
        'found "loss" a second time',
    ),
    # Algorithms
    ({"spec.algorithm": DELETE}, "spec.algorithm", "is required: one of random, grid"),
    ({"spec.algorithm.algorithmName": ""}, "spec.algorithm.algorithmName", "is required: one of random, grid"),
    (
        {"spec.algorithm.algorithmName": "rndom"},
        "spec.algorithm.algorithmName",
        "wanted one of random, grid, tpe, cmaes, hyperband, pbt, darts, enas; did you mean `random`?",
    ),
    ({"spec.earlyStopping.algorithmName": "median"}, "spec.earlyStopping.algorithmName", "did you mean `medianstop`?"),
    (
        {"spec.algorithm.algorithmSettings": [{"name": "a", "value": "1"}, {"name": "a", "value": "2"}]},
        "spec.algorithm.algorithmSettings[1].name",
        'found "a" a second time',
    ),
    ({"spec.algorithm.algorithmSettings[0].name": ""}, "spec.algorithm.algorithmSettings[0].name", "is empty"),
    (
        {"spec.algorithm.algorithmSettings[0].value": "x"},
        "spec.algorithm.algorithmSettings[0].value",
        "must be a whole number",
    ),
    # Search space
    ({"spec.parameters": DELETE}, "spec.parameters", "is required: name at least one parameter"),
    ({"spec.nasConfig": NAS}, "spec", "found both `parameters` and `nasConfig`"),
    ({"spec.parameters[1].name": "lr"}, "spec.parameters[1].name", 'found "lr" again; parameter 0 has that name'),
    ({"spec.parameters[0].name": " "}, "spec.parameters[0].name", "is required"),
    ({"spec.parameters[0].parameterType": "float"}, "spec.parameters[0].parameterType", "wanted one of double, int"),
    ({"spec.parameters[0].parameterType": DELETE}, "spec.parameters[0].parameterType", "is required: one of double"),
    ({"spec.parameters[0].parameterType": "unknown"}, "spec.parameters[0].parameterType", 'found "unknown", wanted'),
    ({f"{SPACE}.distribution": "loguniform"}, f"{SPACE}.distribution", "did you mean `logUniform`?"),
    ({f"{SPACE}.min": "0.2"}, f"{SPACE}.min", "found 0.2, which is greater than max, 0.1"),
    ({f"{SPACE}.min": "abc"}, f"{SPACE}.min", 'found "abc", wanted a finite number'),
    ({f"{SPACE}.max": "inf"}, f"{SPACE}.max", 'found "inf", wanted a finite number'),
    ({f"{SPACE}.max": "nan"}, f"{SPACE}.max", 'found "nan", wanted a finite number'),
    ({f"{SPACE}.max": "1e999"}, f"{SPACE}.max", 'found "1e999", wanted a finite number'),
    ({f"{SPACE}.min": DELETE}, f"{SPACE}.min", "is required for a parameter of type double"),
    ({f"{SPACE}": DELETE}, f"{SPACE}.max", "is required for a parameter of type double"),
    ({f"{SPACE}.step": "0"}, f"{SPACE}.step", "found 0, wanted a number greater than zero"),
    ({f"{SPACE}.step": "-0.1"}, f"{SPACE}.step", "wanted a number greater than zero"),
    ({f"{SPACE}.step": "1"}, f"{SPACE}.step", "found 1, which is wider than the whole range from 0.01 to 0.1"),
    ({f"{SPACE}.step": "x"}, f"{SPACE}.step", 'found "x", wanted a finite number'),
    ({f"{SPACE}.list": ["1"]}, f"{SPACE}.list", "has min and max, not a list"),
    (
        {f"{SPACE}.min": "0", f"{SPACE}.distribution": "logUniform"},
        f"{SPACE}.min",
        "found 0; logUniform needs a min greater than zero",
    ),
    (
        {f"{SPACE}.min": "-1", f"{SPACE}.distribution": "logNormal"},
        f"{SPACE}.min",
        "found -1; logNormal needs a min greater than zero",
    ),
    (
        {"spec.parameters[1].feasibleSpace.max": "3.5"},
        "spec.parameters[1].feasibleSpace.max",
        'found "3.5", wanted a whole number for the type int',
    ),
    ({"spec.parameters[1].feasibleSpace.step": "0.5"}, "spec.parameters[1].feasibleSpace.step", "a whole number"),
    ({"spec.parameters[2].feasibleSpace.list": []}, "spec.parameters[2].feasibleSpace.list", "at least one value"),
    (
        {"spec.parameters[2].feasibleSpace.list": ["1", "x"]},
        "spec.parameters[2].feasibleSpace.list[1]",
        "wanted a number",
    ),
    (
        {"spec.parameters[2].feasibleSpace.list": ["1", "1.0"]},
        "spec.parameters[2].feasibleSpace.list[1]",
        'found "1.0", but "1" is in the list already',
    ),
    (
        {"spec.parameters[3].feasibleSpace.list": ["sgd", "sgd"]},
        "spec.parameters[3].feasibleSpace.list[1]",
        'found "sgd", but "sgd" is in the list already',
    ),
    ({"spec.parameters[3].feasibleSpace.min": "1"}, "spec.parameters[3].feasibleSpace.min", "has a list, not min"),
    (
        {"spec.parameters[3].feasibleSpace.distribution": "normal"},
        "spec.parameters[3].feasibleSpace.distribution",
        "entries of a categorical list are equally likely",
    ),
    (
        {"spec.parameters": DELETE, "spec.nasConfig": edited(NAS, {"graphConfig.numLayers": 0})},
        "spec.nasConfig.graphConfig.numLayers",
        "found 0, wanted at least 1",
    ),
    (
        {"spec.parameters": DELETE, "spec.nasConfig": edited(NAS, {"graphConfig.inputSizes": [3, 0]})},
        "spec.nasConfig.graphConfig.inputSizes[1]",
        "found 0, wanted at least 1",
    ),
    (
        {"spec.parameters": DELETE, "spec.nasConfig": {"graphConfig": {"numLayers": 1}}},
        "spec.nasConfig.operations",
        "is required",
    ),
    (
        {
            "spec.parameters": DELETE,
            "spec.nasConfig": edited(NAS, {"operations[0].parameters[0].feasibleSpace.list": []}),
        },
        "spec.nasConfig.operations[0].parameters[0].feasibleSpace.list",
        "name at least one value",
    ),
    # Trial template
    ({TEMPLATE: DELETE}, TEMPLATE, "is required"),
    ({JOB: DELETE}, JOB, "is required: what a Trial runs"),
    ({MAP: {"configMapName": "x"}}, TEMPLATE, "found both `trialSpec` and `configMap`"),
    ({f"{TEMPLATE}.primaryContainerName": ""}, f"{TEMPLATE}.primaryContainerName", "is required"),
    ({f"{TEMPLATE}.primaryContainerName": "train"}, f"{TEMPLATE}.primaryContainerName", "did you mean `training`?"),
    ({f"{TEMPLATE}.trialParameters": DELETE}, f"{TEMPLATE}.trialParameters", "is required"),
    ({f"{TEMPLATE}.trialParameters[0].name": ""}, f"{TEMPLATE}.trialParameters[0].name", "is required"),
    ({f"{TEMPLATE}.trialParameters[0].name": "a}"}, f"{TEMPLATE}.trialParameters[0].name", "a name has no braces"),
    ({f"{TEMPLATE}.trialParameters[1].name": "learningRate"}, f"{TEMPLATE}.trialParameters[1].name", "entry 0 has it"),
    (
        {f"{TEMPLATE}.trialParameters[0].name": "lerningRate"},
        f"{TEMPLATE}.trialParameters[0].name",
        "${trialParameters.lerningRate} stands nowhere in the template; did you mean `learningRate`?",
    ),
    ({f"{TEMPLATE}.trialParameters[0].reference": ""}, f"{TEMPLATE}.trialParameters[0].reference", "is required"),
    (
        {f"{TEMPLATE}.trialParameters[1].reference": "lr"},
        f"{TEMPLATE}.trialParameters[1].reference",
        'found "lr" again; entry 0 refers to it',
    ),
    (
        {f"{TEMPLATE}.trialParameters[0].reference": "learning"},
        f"{TEMPLATE}.trialParameters[0].reference",
        'found "learning", which is no search parameter; there are lr, layers, momentum, optimizer',
    ),
    (
        {f"{TEMPLATE}.trialParameters[4].reference": "${trialSpec.Nam}"},
        f"{TEMPLATE}.trialParameters[4].reference",
        "did you mean `Name`?",
    ),
    (
        {f"{TEMPLATE}.trialParameters[4].reference": "${trialSpec.Annotations}"},
        f"{TEMPLATE}.trialParameters[4].reference",
        "write ${trialSpec.Annotations[KEY]}",
    ),
    (
        {f"{TEMPLATE}.trialParameters[5].reference": "${trialSpec.Labels[tean]}"},
        f"{TEMPLATE}.trialParameters[5].reference",
        'the template has no label "tean"',
    ),
    (
        {f"{POD}.containers[0].args[1]": "--o=${trialParameters.optimiser}"},
        f"{POD}.containers[0].args[1]",
        "${trialParameters.optimiser} is not declared in trialParameters; did you mean `optimizer`?",
    ),
    (
        {f"{POD}.containers[0].args[1]": "$(trialParameters.optimizer)"},
        f"{TEMPLATE}.trialParameters[3].name",
        "it has $(trialParameters.optimizer), which is left as it is",
    ),
    (
        {f"{TEMPLATE}.trialParameters[3]": DELETE},
        f"{TEMPLATE}.trialParameters",
        'nothing refers to the search parameter "optimizer"',
    ),
    ({f"{TEMPLATE}.successCondition": "a..b"}, f"{TEMPLATE}.successCondition", "two consecutive path delimiters"),
    ({f"{TEMPLATE}.failureCondition": "a.#(b"}, f"{TEMPLATE}.failureCondition", "not a GJSON query: Unbalanced"),
    (
        {f"{JOB}.kind": "Workflow", f"{JOB}.apiVersion": "argoproj.io/v1alpha1"},
        f"{TEMPLATE}.successCondition",
        "is required for the kind Workflow",
    ),
    ({f"{JOB}.apiVersion": DELETE}, f"{JOB}.apiVersion", "the template must say what it is"),
    ({f"{JOB}.kind": 3}, f"{JOB}.kind", "the template must say what it is"),
    ({f"{JOB}.metadata.name": "x"}, f"{JOB}.metadata.name", "must be left out"),
    ({f"{JOB}.metadata.namespace": "x"}, f"{JOB}.metadata.namespace", "must be left out"),
    # The Job
    ({f"{POD}.containers[0].comand": ["x"]}, f"{POD}.containers[0].comand", "did you mean `command`?"),
    ({f"{JOB}.spec.paralelism": 2}, f"{JOB}.spec.paralelism", "did you mean `parallelism`?"),
    ({f"{JOB}.spec.backoffLimit": "0"}, f"{JOB}.spec.backoffLimit", "write it without quotes: 0"),
    (
        {f"{JOB}.spec.backoffLimit": "${trialParameters.layers}0"},
        f"{JOB}.spec.backoffLimit",
        'found the text "${trialParameters.layers}0", wanted a whole number',
    ),
    ({f"{POD}.containers[0].args[0]": 5}, f"{POD}.containers[0].args[0]", 'write it in quotes: "5"'),
    ({f"{POD}.containers[0].env[0].value": 5}, f"{POD}.containers[0].env[0].value", 'write it in quotes: "5"'),
    ({f"{POD}.containers[0].env[0].name": ""}, f"{POD}.containers[0].env[0].name", "is required"),
    ({f"{POD}.containers": []}, f"{POD}.containers", "a Job runs at least one container"),
    ({f"{POD}.containers[0].name": DELETE}, f"{POD}.containers[0].name", "a container needs a name"),
    ({f"{POD}.restartPolicy": "Always"}, f"{POD}.restartPolicy", 'found "Always"; a Job\'s pods have Never or'),
    (
        {f"{POD}.containers[0].resources.limits.cpu": "half"},
        f"{POD}.containers[0].resources.limits.cpu",
        "a quantity is a number",
    ),
    (
        {f"{POD}.containers[0].resources.limits.cpu": -1},
        f"{POD}.containers[0].resources.limits.cpu",
        "wanted at least 0",
    ),
    # Templates of ConfigMaps
    (config_map(configMapName=""), f"{MAP}.configMapName", "is required"),
    (config_map(configMapName="other"), f"{MAP}.configMapName", "there is no ConfigMap team-a/other"),
    (config_map(templatePath="job.yml"), f"{MAP}.templatePath", "has no key job.yml; it has broken.yaml, job.yaml"),
    (config_map(templatePath="broken.yaml"), f'{MAP}["broken.yaml"]', "line 3, column 1: this is not YAML"),
    (
        config_map(templatePath="unquoted.yaml"),
        f'{MAP}["unquoted.yaml"].spec.template.spec.containers[0].command[1]',
        'found the text "${trialParameters.learningRate}", wanted text; this will be a number: write the placeholder',
    ),
    (config_map(templatePath="two.yaml"), f'{MAP}["two.yaml"]', "found 2 documents, wanted one object"),
    (
        config_map(templatePath="list.yaml"),
        f'{MAP}["list.yaml"]',
        "found a document that is no mapping, wanted one object",
    ),
    (
        {**FROM_CONFIG_MAP, f"{TEMPLATE}.successCondition": None},
        f"{TEMPLATE}.successCondition",
        "is required where the template is in a ConfigMap",
    ),
    # Metrics collectors
    (collector("Stdout"), f"{COLLECTOR}.collector.kind", "did you mean `StdOut`?"),
    (
        collector("StdOut", filter={"metricsFormat": ["(a)=(b)", "(a"]}),
        f"{COLLECTOR}.source.filter.metricsFormat[1]",
        "is not a regular expression",
    ),
    (
        collector("StdOut", filter={"metricsFormat": ["(a)=b"]}),
        f"{COLLECTOR}.source.filter.metricsFormat[0]",
        "has 1 group(s), wanted two: the metric's name and its value",
    ),
    (
        collector("File", fileSystemPath={**FILE, "kind": "Directory"}),
        f"{COLLECTOR}.source.fileSystemPath.kind",
        "File",
    ),
    (collector("File", fileSystemPath={**FILE, "path": "m.log"}), f"{COLLECTOR}.source.fileSystemPath.path", "with /"),
    (
        collector("File", fileSystemPath={**FILE, "format": "json"}),
        f"{COLLECTOR}.source.fileSystemPath.format",
        "did you mean `JSON`?",
    ),
    (
        collector("File", fileSystemPath={**FILE, "format": "JSON"}, filter={"metricsFormat": ["(a)=(b)"]}),
        f"{COLLECTOR}.source.filter",
        "JSON lines need no filter",
    ),
    (collector("TensorFlowEvent", fileSystemPath=FILE), f"{COLLECTOR}.source.fileSystemPath.kind", "Directory"),
    (
        collector("TensorFlowEvent", fileSystemPath={"path": "/x", "kind": "Directory", "format": "TEXT"}),
        f"{COLLECTOR}.source.fileSystemPath.format",
        "leave it out",
    ),
    (collector("PrometheusMetric", httpGet={"port": "web"}), f"{COLLECTOR}.source.httpGet.port", "from 1 to 65535"),
    (collector("PrometheusMetric", httpGet={"port": -1}), f"{COLLECTOR}.source.httpGet.port", "from 1 to 65535"),
    (collector("PrometheusMetric", httpGet={"path": "m"}), f"{COLLECTOR}.source.httpGet.path", "starts with /"),
    (collector("Custom"), f"{COLLECTOR}.collector.customCollector", "is required for a Custom collector"),
    (
        {COLLECTOR: {"collector": {"kind": "Custom", "customCollector": {"name": "c", "image": "c", "arg": []}}}},
        f"{COLLECTOR}.collector.customCollector.arg",
        "did you mean `args`?",
    ),
]


@pytest.mark.parametrize(
    ("changes", "path", "words"), REFUSED, ids=[f"{index}:{path}" for index, (_, path, _) in enumerate(REFUSED)]
)
def test_a_mistake_is_named_with_its_path_and_what_would_do(changes: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(edited(GOOD, changes))

    messages = [error.message for error in caught.value.errors if error.path == path]
    assert any(words in message for message in messages), [str(error) for error in caught.value.errors]


# Edits of one spot that must be told as one mistake, however many rules look at it.
ALONE: list[dict[str, Any]] = [
    {"spec.maxTrialCount": "6"},
    {"spec.max_trial_count": 3},
    {f"{SPACE}.min": 0.01},
    {"spec.parameters[0]": "lr"},
    {"spec.objective.goal": float("nan")},
    {"spec.objective.type": "maximise"},
    {"spec.algorithm.algorithmName": "rndom"},
    {
        f"{POD}.containers": "python3 train.py ${trialParameters.learningRate} ${trialParameters.layers} "
        "${trialParameters.momentum} ${trialParameters.optimizer} ${trialParameters.trial} ${trialParameters.team}"
    },
    {f"{POD}.containers[0].restartPolicy": 3},
    {"spec.objectve": {}, "spec.objective": DELETE},
    {"spec.parameters[0].naame": "lr", "spec.parameters[0].name": DELETE},
]


@pytest.mark.parametrize("changes", ALONE, ids=[next(iter(changes)) for changes in ALONE])
def test_a_mistake_of_structure_brings_no_other_with_it(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(edited(GOOD, changes))

    assert len(caught.value.errors) == 1, [str(error) for error in caught.value.errors]


def test_mistakes_of_structure_and_of_value_are_told_in_one_go() -> None:
    tree = edited(
        GOOD,
        {
            "metadata.name": "Tune_me",
            "spec.maxTrials": 3,
            "spec.parallelTrialCount": 0,
            "spec.objective.type": "best",
            "spec.algorithm.algorithmName": "anneal",
            f"{SPACE}.min": 0.01,
            "spec.parameters[1].feasibleSpace.max": "0",
            f"{TEMPLATE}.trialParameters[0].reference": "lrr",
            f"{POD}.containers[0].comand": [],
            f"{POD}.containers[0].args[0]": 3,
            **collector("File", fileSystemPath={"path": "x"}),
        },
    )

    with pytest.raises(InvalidInput) as caught:
        read(tree)

    assert {error.path for error in caught.value.errors} >= {
        "metadata.name",
        "spec.maxTrials",
        "spec.parallelTrialCount",
        "spec.objective.type",
        "spec.algorithm.algorithmName",
        f"{SPACE}.min",
        "spec.parameters[1].feasibleSpace.min",
        f"{TEMPLATE}.trialParameters[0].reference",
        f"{POD}.containers[0].comand",
        f"{POD}.containers[0].args[0]",
        f"{COLLECTOR}.source.fileSystemPath.path",
    }
    assert caught.value.source == "test.yaml"


ACCEPTED: dict[str, dict[str, Any]] = {
    "as it is": {},
    "a template of a ConfigMap with unquoted placeholders": FROM_CONFIG_MAP,
    "a placeholder in a numeric field": {f"{JOB}.spec.parallelism": "${trialParameters.layers}"},
    "a placeholder within a quantity": {f"{POD}.containers[0].resources.limits.memory": "${trialParameters.layers}Gi"},
    "min equal to max": {f"{SPACE}.min": "0.1"},
    "a goal of zero": {"spec.objective.goal": 0},
    "no goal": {"spec.objective.goal": None},
    "no limit of Trials": {"spec.maxTrialCount": DELETE},
    "a whole number written as a float": {"spec.maxTrialCount": 6.0},
    "a generated name": {"metadata": {"generateName": "tune-"}},
    "metadata that API servers add": {"metadata.managedFields": [{"manager": "kubectl"}], "metadata.selfLink": "/x"},
    "metric names with blanks and bars": {"spec.objective.objectiveMetricName": "top 1 | acc/val"},
    "parameter names with dashes in front": {
        "spec.parameters[0].name": "--lr",
        f"{TEMPLATE}.trialParameters[0].reference": "--lr",
    },
    "architecture search": {
        "spec.parameters": DELETE,
        "spec.nasConfig": NAS,
        "spec.algorithm.algorithmName": "enas",
        f"{TEMPLATE}.trialParameters[0].reference": "architecture",
    },
    "another kind with conditions": {
        f"{JOB}.kind": "Workflow",
        f"{JOB}.apiVersion": "argoproj.io/v1alpha1",
        f"{TEMPLATE}.successCondition": 'status.[@this].#(phase=="Succeeded")#',
        f"{TEMPLATE}.failureCondition": "status.[@this].#(failed==1)",
    },
    "a callable without a container": {
        f"{JOB}.kind": "CallableJob",
        f"{JOB}.apiVersion": "pykatib.dev/v1",
        f"{TEMPLATE}.primaryContainerName": DELETE,
    },
    "a filter for StdOut": collector("StdOut", filter={"metricsFormat": [r"([\w|-]+)\s*=\s*(\d+)"]}),
    "a scrape with Katib's defaults": collector("PrometheusMetric"),
    "a push": collector("Push"),
    "its own container as collector": {
        COLLECTOR: {"collector": {"kind": "Custom", "customCollector": {"name": "c", "image": "c:1"}}}
    },
}


@pytest.mark.parametrize("changes", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_makes_sense_is_accepted(changes: dict[str, Any]) -> None:
    assert read(edited(GOOD, changes)).spec.parallel_trial_count == 2


def test_a_flood_of_mistakes_is_cut_short() -> None:
    with pytest.raises(InvalidInput) as caught:
        read(edited(GOOD, {"metadata.labels": {f"a{index}": index for index in range(5000)}}))

    assert len(caught.value.errors) < 300
    assert "there are more mistakes than are told here" in caught.value.errors[-1].message

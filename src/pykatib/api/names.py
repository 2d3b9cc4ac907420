"""Every word that a user of Katib can see and a script may compare: groups, kinds, labels, conditions, reasons.

They live together here and nowhere else, so that a search for one finds its only home. The words are Katib's where
Katib has them; the ones that pykatib adds are marked so.
"""

from typing import Final

GROUP: Final = "kubeflow.org"
VERSION: Final = "v1beta1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

EXPERIMENT: Final = "Experiment"
SUGGESTION: Final = "Suggestion"
TRIAL: Final = "Trial"
CONFIG_MAP: Final = "ConfigMap"
SECRET: Final = "Secret"
JOB: Final = "Job"

DEFAULT_NAMESPACE: Final = "default"

# The worker job of `tune()`: a Python callable instead of a container (pykatib's own).
CALLABLE_JOB: Final = "CallableJob"
CALLABLE_API_VERSION: Final = "pykatib.dev/v1"

# Labels, annotations, finalizers, environment
LABEL_EXPERIMENT: Final = "katib.kubeflow.org/experiment"
LABEL_SUGGESTION: Final = "katib.kubeflow.org/suggestion"
LABEL_TRIAL: Final = "katib.kubeflow.org/trial"
LABEL_DEPLOYMENT: Final = "katib.kubeflow.org/deployment"
LABEL_COMPONENT: Final = "katib.kubeflow.org/component"
LABEL_INJECTION: Final = "katib.kubeflow.org/metrics-collector-injection"
FINALIZER_EXPERIMENT: Final = "update-prometheus-metrics"
FINALIZER_TRIAL: Final = "clean-metrics-in-db"
ENV_TRIAL_NAME: Final = "KATIB_TRIAL_NAME"
ENV_EXIT_FILE: Final = "PYKATIB_EXIT_FILE"  # pykatib's own: it is written when the main process has ended
ENV_METRICS_FILE: Final = "PYKATIB_METRICS_FILE"  # pykatib's own: where a worker appends the metrics that it pushes
ENV_DB_MANAGER_ADDRESS: Final = "KATIB_DB_MANAGER_ADDR"  # pykatib's own: where a worker's metrics go over the wire
DEFAULT_DB_MANAGER_ADDRESS: Final = "katib-db-manager.kubeflow:6789"

# Environment of the DB manager
ENV_DB_NAME: Final = "DB_NAME"
ENV_DB_USER: Final = "DB_USER"
ENV_DB_PASSWORD: Final = "DB_PASSWORD"
ENV_MYSQL_HOST: Final = "KATIB_MYSQL_DB_HOST"
ENV_MYSQL_PORT: Final = "KATIB_MYSQL_DB_PORT"
ENV_MYSQL_DATABASE: Final = "KATIB_MYSQL_DB_DATABASE"
ENV_POSTGRESQL_HOST: Final = "KATIB_POSTGRESQL_DB_HOST"
ENV_POSTGRESQL_PORT: Final = "KATIB_POSTGRESQL_DB_PORT"
ENV_POSTGRESQL_DATABASE: Final = "KATIB_POSTGRESQL_DB_DATABASE"
ENV_POSTGRESQL_SSL_MODE: Final = "KATIB_POSTGRESQL_SSL_MODE"
ENV_SQLITE_PATH: Final = "KATIB_SQLITE_DB_PATH"  # pykatib's own
ENV_SKIP_DB_INITIALIZATION: Final = "SKIP_DB_INITIALIZATION"

# Annotations that say where a manifest came from, for the local runner (pykatib's own)
ANNOTATION_FOLDER: Final = "pykatib.dev/manifest-folder"
ANNOTATION_IMAGES: Final = "pykatib.dev/images"
# The address of the suggestion service that an Experiment on one machine asks (pykatib's own)
ANNOTATION_ALGORITHM_SERVICE: Final = "pykatib.dev/algorithm-service"

# The algorithm setting that says where the worker's checkpoints are in its container, in Katib's words
CHECKPOINT_SETTING: Final = "suggestion_trial_dir"

# Trial names: `<experiment>-<8 characters of this alphabet>`
NAME_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
NAME_SUFFIX_LENGTH: Final = 8
MAX_EXPERIMENT_NAME_LENGTH: Final = 40

# Condition types
CREATED: Final = "Created"
RUNNING: Final = "Running"
RESTARTING: Final = "Restarting"
SUCCEEDED: Final = "Succeeded"
FAILED: Final = "Failed"
COMPLETE: Final = "Complete"  # of Kubernetes' Jobs
KILLED: Final = "Killed"
EARLY_STOPPED: Final = "EarlyStopped"
METRICS_UNAVAILABLE: Final = "MetricsUnavailable"
DEPLOYMENT_READY: Final = "DeploymentReady"
SUSPENDED: Final = "Suspended"  # pykatib's own: stopped without being deleted

TRUE: Final = "True"
FALSE: Final = "False"
UNKNOWN: Final = "Unknown"

# Reasons of Experiments
EXPERIMENT_CREATED: Final = "ExperimentCreated"
EXPERIMENT_RUNNING: Final = "ExperimentRunning"
EXPERIMENT_RESTARTING: Final = "ExperimentRestarting"
EXPERIMENT_GOAL_REACHED: Final = "ExperimentGoalReached"
EXPERIMENT_MAX_TRIALS_REACHED: Final = "ExperimentMaxTrialsReached"
EXPERIMENT_SUGGESTION_END_REACHED: Final = "ExperimentSuggestionEndReached"
EXPERIMENT_FAILED: Final = "ExperimentFailed"
EXPERIMENT_TIME_LIMIT_REACHED: Final = "ExperimentTimeLimitReached"  # pykatib's own
EXPERIMENT_SUSPENDED: Final = "ExperimentSuspended"  # pykatib's own
EXPERIMENT_RESUMED: Final = "ExperimentResumed"  # pykatib's own

# Reasons of Suggestions
SUGGESTION_CREATED: Final = "SuggestionCreated"
SUGGESTION_RUNNING: Final = "SuggestionRunning"
SUGGESTION_FAILED: Final = "SuggestionFailed"
SUGGESTION_SUCCEEDED: Final = "Experiment is succeeded"
SUGGESTION_END_REACHED: Final = "SuggestionEndReached"  # pykatib's own: the search space is used up
EXPERIMENT_IS_RESTARTING: Final = "Experiment is restarting"
DEPLOYMENT_NOT_READY: Final = "DeploymentNotReady"
SUGGESTION_IS_SUCCEEDED: Final = "Suggestion is succeeded"

# Reasons of Trials
TRIAL_CREATED: Final = "TrialCreated"
TRIAL_RUNNING: Final = "TrialRunning"
TRIAL_SUCCEEDED: Final = "TrialSucceeded"
TRIAL_FAILED: Final = "TrialFailed"
TRIAL_EARLY_STOPPED: Final = "TrialEarlyStopped"
TRIAL_KILLED: Final = "TrialKilled"  # pykatib's own: Katib defines the condition and never sets it
TRIAL_RETRYING: Final = "TrialRetrying"  # pykatib's own

# Reasons of worker jobs that the local runners write (Kubernetes' own words, and two of ours)
BACKOFF_LIMIT_EXCEEDED: Final = "BackoffLimitExceeded"
DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
WORKER_LOST: Final = "WorkerLost"  # pykatib's own: the machine or its supervisor went away under the job

NOT_RUNNABLE_HERE: Final = "NotRunnableHere"  # pykatib's own: the Job asks for what this machine cannot do

# Events
RUNS_HERE: Final = "RunsHere"  # pykatib's own: what differs on this machine from the cluster
METRICS: Final = "Metrics"  # pykatib's own: what was wrong with a job's metrics
BACK_OFF: Final = "BackOff"  # pykatib's own: a Job's process has failed and another attempt follows
RECONCILE_ERROR: Final = "ReconcileError"
ALGORITHM_PICKED: Final = "AlgorithmPicked"  # pykatib's own
JOB_CREATED: Final = "JobCreated"
JOB_DELETED: Final = "JobDeleted"
JOB_RUNNING: Final = "JobRunning"
JOB_SUCCEEDED: Final = "JobSucceeded"
JOB_FAILED: Final = "JobFailed"
NORMAL: Final = "Normal"
WARNING: Final = "Warning"

# Metric values
UNAVAILABLE: Final = "unavailable"
MIN: Final = "min"
MAX: Final = "max"
LATEST: Final = "latest"
ZERO_TIME: Final = "0001-01-01T00:00:00Z"

MINIMIZE: Final = "minimize"
MAXIMIZE: Final = "maximize"

# How an early stopping rule compares
EQUAL: Final = "equal"
LESS: Final = "less"
GREATER: Final = "greater"
COMPARISONS: Final = (EQUAL, LESS, GREATER)

# What an Experiment asks of an active Trial (`Trial.spec.stop`, pykatib's own)
STOP_SUSPEND: Final = "Suspend"
STOP_KILL: Final = "Kill"

# Resume policies
NEVER: Final = "Never"
LONG_RUNNING: Final = "LongRunning"
FROM_VOLUME: Final = "FromVolume"

# Collector kinds
STDOUT: Final = "StdOut"
FILE: Final = "File"
TENSORFLOW_EVENT: Final = "TensorFlowEvent"
PROMETHEUS_METRIC: Final = "PrometheusMetric"
CUSTOM: Final = "Custom"
PUSH: Final = "Push"
NONE: Final = "None"
COLLECTOR_KINDS: Final = (STDOUT, FILE, TENSORFLOW_EVENT, PROMETHEUS_METRIC, CUSTOM, PUSH, NONE)

# Parameter types and distributions
DOUBLE: Final = "double"
INT: Final = "int"
DISCRETE: Final = "discrete"
CATEGORICAL: Final = "categorical"
PARAMETER_TYPES: Final = (DOUBLE, INT, DISCRETE, CATEGORICAL)
UNIFORM: Final = "uniform"
LOG_UNIFORM: Final = "logUniform"
NORMAL_DISTRIBUTION: Final = "normal"
LOG_NORMAL: Final = "logNormal"
DISTRIBUTIONS: Final = (UNIFORM, LOG_UNIFORM, NORMAL_DISTRIBUTION, LOG_NORMAL)

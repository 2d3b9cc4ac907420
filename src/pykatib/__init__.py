"""pykatib: Katib's hyperparameter tuning, early stopping and architecture search, on a laptop or on Kubernetes."""

__version__ = "0.1.0"

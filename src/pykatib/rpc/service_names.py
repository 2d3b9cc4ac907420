"""Names on Katib's wire, for whoever calls it without the gRPC library: services, and metadata of ours."""

from pykatib.rpc import messages

DB_MANAGER = "DBManager"
SUGGESTION = "Suggestion"
EARLY_STOPPING = "EarlyStopping"

NAMESPACE_KEY = "pykatib-namespace"
REPORT_ID_KEY = "pykatib-report-id"


def full_name(service: str) -> str:
    """A service's name on the wire."""
    return str(messages.DESCRIPTOR.services_by_name[service].full_name)

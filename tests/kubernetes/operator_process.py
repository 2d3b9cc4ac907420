"""An operator as a process of its own, with observations in a folder: KUBECONFIG NAMESPACE FOLDER [IDENTITY].

With an identity it is a candidate for the Lease `leader` of the namespace.
"""

import sys
from pathlib import Path

from stand_in import FolderObservations

from pykatib.kube.entry import run_operator

if __name__ == "__main__":
    sys.exit(
        run_operator(
            kubeconfig=sys.argv[1],
            namespace=sys.argv[2],
            metrics_address="127.0.0.1:0",
            health_address="127.0.0.1:0",
            log_as_json=True,
            observations=FolderObservations(Path(sys.argv[3])),
            lease=(sys.argv[2], "leader") if len(sys.argv) > 4 else None,
            identity="".join(sys.argv[4:]),
        )
    )

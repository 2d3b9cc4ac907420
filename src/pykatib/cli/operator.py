"""`katib operator`: the control plane in a Kubernetes cluster."""

import click


@click.command()
@click.option("-n", "--namespace", default="", help="Work in this namespace only. [default: all]")
@click.option("--kubeconfig", metavar="FILE", help="How to reach the cluster. [default: the Pod's own, or $KUBECONFIG]")
@click.option("--context", metavar="NAME", help="The context of the kubeconfig. [default: its current one]")
@click.option(
    "--db-manager",
    metavar="HOST:PORT",
    default="",
    help="Where metrics are kept. [default: by $KATIB_DB_MANAGER_SERVICE_IP, _NAMESPACE and _PORT: "
    "katib-db-manager.kubeflow:6789]",
)
@click.option(
    "--core-namespace",
    envvar="KATIB_CORE_NAMESPACE",
    default="kubeflow",
    show_default=True,
    show_envvar=True,
    help="Katib's own namespace: katib-config, Trial templates for everybody, the webhooks' Service and Secret.",
)
@click.option("--leader-elect", is_flag=True, help="Of several operators let only the one work that holds the Lease.")
@click.option(
    "--lease-namespace",
    envvar="KATIB_CORE_NAMESPACE",
    default="kubeflow",
    show_default=True,
    show_envvar=True,
    help="Where the Lease is.",
)
@click.option("--lease-name", default="3fbc96e9.katib.kubeflow.org", show_default=True, help="The name of the Lease.")
@click.option(
    "--identity",
    default="",
    help="The name of this process in the Lease; no two that live at once may share one. [default: host and a number]",
)
@click.option("--webhook-address", default=":8443", show_default=True, help="Where the admission webhooks answer.")
@click.option("--no-webhooks", is_flag=True, help="Judge no Experiments and change no Pods on their way in.")
@click.option(
    "--webhook-service",
    metavar="NAME",
    default="katib-controller",
    show_default=True,
    help="The Service by which the API server calls them.",
)
@click.option(
    "--webhook-secret",
    metavar="NAME",
    default="katib-webhook-cert",
    show_default=True,
    help="The Secret that keeps their certificate.",
)
@click.option(
    "--webhook-configuration",
    metavar="NAME",
    default="katib.kubeflow.org",
    show_default=True,
    help="The webhook configurations, of both kinds, that are to trust it.",
)
@click.option(
    "--external-certificates",
    is_flag=True,
    help="Take the certificate from the Secret and leave its making, and trust in it, to others, as cert-manager.",
)
@click.option("--metrics-address", default=":8080", show_default=True, help="Where /metrics answers.")
@click.option("--health-address", default=":18080", show_default=True, help="Where /healthz and /readyz answer.")
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
@click.pass_context
def command(
    ctx: click.Context,
    namespace: str,
    kubeconfig: str | None,
    context: str | None,
    db_manager: str,
    core_namespace: str,
    leader_elect: bool,
    lease_namespace: str,
    lease_name: str,
    identity: str,
    webhook_address: str,
    no_webhooks: bool,
    webhook_service: str,
    webhook_secret: str,
    webhook_configuration: str,
    external_certificates: bool,
    metrics_address: str,
    health_address: str,
    log_format: str,
    log_level: str,
) -> None:
    """Run the control plane of a Kubernetes cluster: its Experiments, Suggestions and Trials.

    Needs the extras `pykatib[kubernetes,grpc]`, a DB manager (`katib db-manager`), and Katib's definitions in the
    cluster (`kubectl apply -f manifests/crds`). SIGTERM stops it; worker jobs run on, and the next operator goes on
    with them. Experiments are judged and Pods made to report by its webhooks, on every replica, leading or not.

    Exit status: 0 when it was stopped, 1 when it lost the Lease, 2 when it cannot begin.
    """
    try:
        from pykatib.kube.admission.configurations import Service
        from pykatib.kube.admission.service import WebhookOptions
        from pykatib.kube.entry import run_with_db_manager
    except ModuleNotFoundError as error:
        advice = "pip install 'pykatib[kubernetes,grpc]'"
        raise click.ClickException(f"{error.name} is not installed; run: {advice}") from error

    webhooks = WebhookOptions(
        address=webhook_address,
        service=Service(core_namespace, webhook_service),
        secret_name=webhook_secret,
        configuration_name=webhook_configuration,
        makes_certificates=not external_certificates,
    )
    status = run_with_db_manager(
        db_manager,
        namespace=namespace or None,
        kubeconfig=kubeconfig,
        context=context,
        lease=(lease_namespace, lease_name) if leader_elect else None,
        identity=identity,
        core_namespace=core_namespace,
        webhooks=None if no_webhooks else webhooks,
        metrics_address=metrics_address,
        health_address=health_address,
        log_as_json=log_format == "json",
        log_level=log_level,
    )
    ctx.exit(status)

"""Reading a Trial's metrics while its worker job runs.

Parsers take bytes and give `MetricLog`s: they know no file, clock or process, hold at most one unfinished line or
record, and give the same logs wherever their input is cut. Readers follow a growing file, a folder or an HTTP
endpoint. `collector.make_collector` puts the two together for a manifest's `metricsCollectorSpec`. Nothing in here
knows where the worker job runs, so that the same code serves beside a local process and inside a pod.
"""

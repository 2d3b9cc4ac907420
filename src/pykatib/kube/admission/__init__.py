"""Admission webhooks: Experiments are defaulted and judged, Trials' Pods made to report, before they are stored."""

"""The metrics collector that runs beside a training program in its Pod."""

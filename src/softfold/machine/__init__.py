"""The machine: devices, threads and precision."""

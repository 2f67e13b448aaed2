"""The server processes: workers and their supervisor, connections, logs, error reports.

Start with `process`, the life of a server from start to end, and `serving`, which runs the application of
`snekhouse.web` with Hypercorn. `workers` forks the worker processes, `listening` accepts connections, `connection` and
`protocols` serve one, and `scope` moves the server to a systemd scope that delegates its cgroup.
"""

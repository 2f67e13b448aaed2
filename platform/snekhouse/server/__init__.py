"""The processes that serve HTTP: workers and their supervisor, connections, logs, reports of errors.

Start with `serving`, which puts Hypercorn around the application of `snekhouse.web`. `workers` forks the worker
processes, `listening` accepts connections, `connection` and `protocols` serve one, and `scope` moves the server to
a systemd scope that delegates its cgroup.
"""

"""Third-party packages of a runtime: list them, and change them with uv in a jail.

They are in the runtime's user base on the host, read-only in its jails. No code of a package runs on the host. Start
with `changes`. `site` finds the packages, and `modules` their modules. `requirements` and `inputs` bring the files that
uv reads into the jail, `jail` makes this jail, and `stage` copies the packages and then replaces them with the changed
copy.
"""

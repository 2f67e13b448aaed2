"""One run behind the wall.

The life of a run, module by module: `profile` renders the wall, `cgroups` makes the run's group, `nsjail`
starts the process, `protocol` speaks with the bootstrap inside, `output` drains what the program prints,
`home` reads the files it left, `verdict` says how it ended, and `run` composes them.
"""

"""One evaluation behind the wall.

Start with `run`, which takes a job to its result. `start` says what it needs of a way to start: `cold` starts an
interpreter in a new jail, `fork` gets one from a fork server. `channel` speaks with the guest in the frames of
`protocol`, `output` reads what the program prints, `home` reads the files that it leaves, and `verdict` says how it
ended.
"""

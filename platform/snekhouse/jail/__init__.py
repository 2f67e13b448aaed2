"""One evaluation or session in its jail.

Start with `run`, which evaluates a job. `start` has the interface of a guest: `cold` starts an interpreter in a new
jail, `fork` gets one from a fork server. `channel` sends and receives the messages of `protocol`, `streams` reads what
the program prints, `home_files` reads the files that it leaves, `verdict` decides how it ended, and `conclusion` puts
these together. `session` has the states of a session, and `cell` runs a cell in a copy of one.
"""

"""What there is to serve: the models of the registry, its loading and merging, and the discovery of interpreters.

Start with `models`, which has every key, and `loading`, which reads a file. `mistakes` puts into words what is wrong in
one, `cross_check` and `jail_paths` look at what does not go together, and `edits` changes files that people wrote.
"""

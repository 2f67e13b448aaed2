"""The registry: its models, its loading and merging, and the discovery of interpreters.

Start with `models`, which has every key, and `loading`, which reads a file. `mistakes` writes the error messages,
`cross_check` and `jail_paths` find values that contradict each other, and `edits` changes a file that a person wrote.
"""

"""Discovery: find the interpreters of this host and the files that each of them needs, and write a registry for them.

Start with `interpreters`; `rooted` does the same for another root, and `writing` renders the registry.
"""

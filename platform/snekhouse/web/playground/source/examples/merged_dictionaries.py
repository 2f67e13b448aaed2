# Merged dictionaries
# From 3.9 on, | merges two dictionaries.
# The output changes in 3.9.

defaults = {"colour": "green", "size": 3}
chosen = {"size": 7}
try:
    print(defaults | chosen)
except TypeError as error:
    print(error)

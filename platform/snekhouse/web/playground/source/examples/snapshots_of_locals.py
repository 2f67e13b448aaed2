# Snapshots of locals()
# Before 3.13, the second call of locals() undoes the change; since then, each call returns a new snapshot.
# The output changes in 3.13.

def count():
    number = 1
    names = locals()
    names["number"] = 2
    locals()
    return names["number"]

print(count())

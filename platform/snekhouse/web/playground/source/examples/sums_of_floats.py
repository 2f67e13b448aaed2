# Sums of floats
# From 3.12 on, sum() adds floats without losing the small ones.
# The output changes in 3.12.

print(sum([0.1] * 10))
print(sum([1e16, 1.0, -1e16]))

# Comprehensions without a frame
# From 3.12 on, a list comprehension runs in the frame around it, which makes it faster.
# The output changes in 3.12.

import sys

def depth():
    frame, count = sys._getframe(), 0
    while frame:
        frame, count = frame.f_back, count + 1
    return count

outside = depth()
print("frames of a comprehension:", [depth() - outside for _ in range(1)])

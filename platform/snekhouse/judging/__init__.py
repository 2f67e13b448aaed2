"""What judges the results of programs: their output compared with the expected one, and verdicts. It is pure.

Start with `judged` in `verdicts`, which turns a result into a verdict. `comparison` compares output, and `grouping`
puts equal results of several runtimes into groups.
"""

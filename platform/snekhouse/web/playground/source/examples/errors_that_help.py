# Errors that help
# From 3.10 on, Python guesses what you meant; from 3.13 on, it shows the line of the program.
# The output changes in 3.10, 3.13.

class Robot:
    def __init__(self):
        self.battery = 40

print(Robot().batery)

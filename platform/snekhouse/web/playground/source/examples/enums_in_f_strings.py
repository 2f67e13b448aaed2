# Enums in f-strings
# From 3.11 on, formatting an enum that is also a str gives its name, as str() does.
# The output changes in 3.11.

from enum import Enum

class Fruit(str, Enum):
    APPLE = "apple"

print(f"{Fruit.APPLE} {str(Fruit.APPLE)}")

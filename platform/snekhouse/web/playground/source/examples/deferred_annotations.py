# Deferred annotations
# From 3.14 on, annotations are evaluated only when they are needed, so a class can refer to itself.
# The output changes in 3.14.

try:
    class Node:
        def attach(self, other: Node) -> Node:
            return other

    print(sorted(Node.attach.__annotations__))
except NameError as error:
    print(type(error).__name__)

# New syntax
# Newer versions understand more syntax.
# The output changes in 3.8, 3.9, 3.10, 3.11, 3.12, 3.14.

def supports(source):
    try:
        compile(source, "example", "exec")
    except SyntaxError:
        return "no"
    return "yes"

syntax = {
    "assignment expressions": "if (n := 10) > 5: pass",
    "positional-only parameters": "def f(a, /, b): pass",
    "context managers in parentheses": "with (open(a) as f, open(b) as g): pass",
    "structural pattern matching": "match x:\n    case [a, *rest]: pass",
    "exception groups": "try: pass\nexcept* OSError: pass",
    "type parameters": "def first[T](items: list[T]) -> T: ...",
    "template strings": "t'{name}'",
}
for name, source in syntax.items():
    print("{:34}{}".format(name, supports(source)))

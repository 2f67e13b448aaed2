# Quotes within f-strings
# From 3.12 on, an f-string may use its own quotes inside; from 3.9 on, the error at least mentions the f-string.
# The output changes in 3.9, 3.12.

source = """names = {'first': 'Ada'}
print(f'Hello {names['first']}')"""
try:
    exec(source)
except SyntaxError as error:
    print("SyntaxError:", error.msg)

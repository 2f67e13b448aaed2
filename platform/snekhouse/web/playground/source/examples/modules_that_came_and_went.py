# Modules that came and went
# New versions add modules. 3.11, 3.12 and 3.13 removed modules that nobody maintained.
# The output changes in 3.7, 3.9, 3.11, 3.12, 3.13.

import importlib
import warnings

warnings.simplefilter("ignore")
names = "dataclasses zoneinfo graphlib tomllib binhex asynchat distutils imp cgi telnetlib crypt".split()
for name in names:
    try:
        importlib.import_module(name)
    except ImportError:
        print(name, "is missing")

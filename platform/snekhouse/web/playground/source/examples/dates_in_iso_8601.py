# Dates in ISO 8601
# 3.7 added datetime.fromisoformat(). From 3.11 on, it reads nearly all forms.
# The output changes in 3.7, 3.11.

from datetime import datetime

for text in ["2026-11-29T20:30:00", "2026-11-29T20:30:00Z", "20261129T2030"]:
    try:
        print(text, "->", datetime.fromisoformat(text))
    except (AttributeError, ValueError) as error:
        print(text, "->", type(error).__name__)

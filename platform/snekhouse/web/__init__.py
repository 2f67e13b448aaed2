"""HTTP: routes, models of requests and answers, and errors as status codes. This package has no code for sockets.

Start with `app`, which composes the application, and `routes`, which has the handlers. `schemas` describes requests and
answers; `body` reads a request, and `json_outline` scans a large one while it arrives.
"""

"""HTTP: routes, wire models, and errors as status codes. It knows no sockets.

Start with `app`, which composes the application, and `routes`, which has the handlers. `schemas` describes requests and
answers; `body` reads a request, and `json_outline` takes a large one apart while it arrives.
"""

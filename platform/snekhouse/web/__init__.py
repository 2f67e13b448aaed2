"""HTTP: routes, wire schemas, and errors as status codes."""

"""What exists: the registry's models, its loading and merging, and the discovery of interpreters."""

"""What the API promises: its documents, and its description as OpenAPI."""

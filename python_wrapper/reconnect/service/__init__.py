"""The service: incidents call over hooks, people work with the API and the pages."""

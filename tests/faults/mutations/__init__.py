"""Mutations: random single changes of a lab host, labelled by whether a real phone can register afterwards."""

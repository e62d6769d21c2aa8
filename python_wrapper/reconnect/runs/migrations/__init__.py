"""How the tables of the store came to be; Alembic runs what a database lacks."""

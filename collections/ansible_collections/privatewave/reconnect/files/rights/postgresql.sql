-- What Asterisk's own login needs in the realtime database (PostgreSQL): Reconnect logs in as Asterisk does.
-- Write the name of the schema and of the login as yours are. Row-level security must not hide rows from it.
-- A diagnosis reads:
GRANT USAGE ON SCHEMA public TO asterisk;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO asterisk;
-- Asterisk stores contacts, and Reconnect fixes accounts:
GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO asterisk;

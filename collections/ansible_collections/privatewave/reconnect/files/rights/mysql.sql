-- What Asterisk's own login needs in the realtime database (MariaDB, MySQL): Reconnect logs in as Asterisk does.
-- Write the name of the database and of the login as yours are.
-- A diagnosis reads:
GRANT SELECT ON asterisk.* TO 'asterisk'@'%';
-- Asterisk stores contacts, and Reconnect fixes accounts:
GRANT INSERT, UPDATE, DELETE ON asterisk.* TO 'asterisk'@'%';

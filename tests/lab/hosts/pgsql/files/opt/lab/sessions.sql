-- The session log: the table that its service writes, the view that others may read.
CREATE TABLE sip_session (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    date_created timestamp NOT NULL, event_type varchar(10) NOT NULL, username varchar(80),
    useragent varchar(255), remoteaddr varchar(150), tlscipher varchar(100), details varchar(255)
);
CREATE INDEX sip_session_username ON sip_session (username);
CREATE INDEX sip_session_remoteaddr ON sip_session (remoteaddr);
CREATE VIEW V_SIP_SESSION AS
    SELECT id, date_created, event_type, username, useragent, remoteaddr, tlscipher, details FROM sip_session;

CREATE ROLE "sip-session" LOGIN;
GRANT SELECT, INSERT, UPDATE ON sip_session TO "sip-session";

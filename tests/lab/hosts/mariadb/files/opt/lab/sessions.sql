-- The session log: the table that its service writes, the view that others may read.
USE asterisk;

CREATE TABLE sip_session (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    date_created datetime NOT NULL, event_type varchar(10) NOT NULL, username varchar(80),
    useragent varchar(255), remoteaddr varchar(150), tlscipher varchar(100), details varchar(255),
    KEY sip_session_username (username), KEY sip_session_remoteaddr (remoteaddr)
);
CREATE VIEW V_SIP_SESSION AS
    SELECT id, date_created, event_type, username, useragent, remoteaddr, tlscipher, details FROM sip_session;

CREATE USER 'sip-session'@'localhost' IDENTIFIED VIA unix_socket;
GRANT SELECT, INSERT, UPDATE ON asterisk.sip_session TO 'sip-session'@'localhost';

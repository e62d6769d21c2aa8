-- The realtime table of chan_sip, with the columns Asterisk 16 reads and writes.
CREATE DATABASE asterisk CHARACTER SET utf8mb4;
USE asterisk;

CREATE TABLE sippeers (
    id int AUTO_INCREMENT PRIMARY KEY,
    name varchar(40) NOT NULL UNIQUE,
    host varchar(40), type varchar(10), secret varchar(80), md5secret varchar(80), defaultuser varchar(40),
    transport varchar(20), encryption varchar(10), context varchar(40), nat varchar(40), qualify varchar(10), qualifyfreq int,
    disallow varchar(200), allow varchar(200), directmedia varchar(10), permit varchar(95), deny varchar(95),
    `call-limit` int, callerid varchar(40), callbackextension varchar(40),
    ipaddr varchar(45), port int, regseconds bigint, fullcontact varchar(255), useragent varchar(255), lastms int,
    regserver varchar(40),
    KEY sippeers_host (host, port), KEY sippeers_ipaddr (ipaddr, port)
);

-- Realtime tables of chan_pjsip, with the columns Asterisk 22 reads and writes.
CREATE DATABASE asterisk CHARACTER SET utf8mb4;
USE asterisk;

CREATE TABLE ps_endpoints (
    id varchar(40) PRIMARY KEY,
    transport varchar(40), aors varchar(200), auth varchar(40), context varchar(40),
    disallow varchar(200), allow varchar(200), direct_media varchar(5), force_rport varchar(5), rewrite_contact varchar(5),
    rtp_symmetric varchar(5), media_encryption varchar(10), ice_support varchar(5), identify_by varchar(80),
    mailboxes varchar(40), callerid varchar(40), acl varchar(40), contact_acl varchar(40), deny varchar(95), permit varchar(95)
);
CREATE TABLE ps_auths (
    id varchar(40) PRIMARY KEY,
    auth_type varchar(20), username varchar(40), password varchar(80), md5_cred varchar(40), realm varchar(40),
    nonce_lifetime int
);
CREATE TABLE ps_aors (
    id varchar(40) PRIMARY KEY,
    contact varchar(255), max_contacts int, remove_existing varchar(5), remove_unavailable varchar(5),
    default_expiration int, minimum_expiration int, maximum_expiration int, qualify_frequency int, qualify_timeout float,
    authenticate_qualify varchar(5), mailboxes varchar(80), support_path varchar(5), outbound_proxy varchar(255)
);
CREATE TABLE ps_contacts (
    id varchar(255) PRIMARY KEY,
    uri varchar(511), expiration_time bigint, qualify_frequency int, outbound_proxy varchar(255), path text,
    user_agent varchar(255), qualify_timeout float, qualify_2xx_only varchar(5), reg_server varchar(255), authenticate_qualify varchar(5),
    via_addr varchar(40), via_port int, call_id varchar(255), endpoint varchar(255), prune_on_boot varchar(5),
    KEY ps_contacts_expiration (expiration_time, qualify_frequency)
);

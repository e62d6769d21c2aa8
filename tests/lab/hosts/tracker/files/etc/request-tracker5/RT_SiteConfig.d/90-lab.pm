Set($rtname, 'reconnect.test');
Set($Organization, 'reconnect.test');
Set($WebDomain, '198.18.20.5');
Set($WebPort, 8080);
Set($WebPath, '');
Set($WebBaseURL, 'http://198.18.20.5:8080');
Set($CanonicalizeRedirectURLs, 0);
# Mail stays on the host.
Set($MailCommand, 'mbox');
# A client authenticates again with every call; the lab's secrets are long and random.
Set($BcryptCost, 8);
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'warning');
1;

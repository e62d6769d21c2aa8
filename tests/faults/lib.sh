# Helpers for the scripts of the faults; they run as root on the host that is broken.
#
# FAULT     the name of the fault
# SERVER    the server that is to suffer: pbx22, pbx16, pgsql, plain, custom or sbc
# ADDRESS   its IPv4 address; ADDRESS6 its IPv6 address

kept="/opt/lab/kept/$FAULT-$SERVER"

# has_pjsip: the server has chan_pjsip, otherwise chan_sip
has_pjsip() {
    [ "$SERVER" != pbx16 ]
}

# has_postgresql: its database is PostgreSQL, otherwise MariaDB
has_postgresql() {
    [ "$SERVER" = pgsql ]
}

if has_pjsip; then accounts_table=ps_endpoints; else accounts_table=sippeers; fi
if [ "$SERVER" = custom ]; then database_name=voice; else database_name=asterisk; fi
if has_postgresql; then database_unit=postgresql@$(ls /etc/postgresql 2>/dev/null || true)-main; else database_unit=mariadb; fi

# keep FILE…: remember files as they are, for give_back
keep() {
    mkdir -p "$kept"
    cp --archive --parents "$@" "$kept/"
}

# give_back: put every kept file back
give_back() {
    [ -d "$kept" ] || return 0
    cp --archive "$kept/." /
    rm -r "$kept"
}

# asterisk_cli COMMAND: ask a living Asterisk, at most 3 seconds
asterisk_cli() {
    timeout --signal=KILL 3 asterisk -rx "$1"
}

# lookup: make Asterisk fetch an account from the database
lookup() {
    if has_pjsip; then
        asterisk_cli 'realtime load ps_endpoints id 1001'
    else
        asterisk_cli 'realtime load sippeers name 1001'
    fi
}

# pool_is_dead: Asterisk has no connection to its database
pool_is_dead() {
    lookup >/dev/null || true
    asterisk_cli 'odbc show all' | grep -q 'active connections: 0'
}

# reconnect_pool: connect Asterisk to its database again unless it is connected
reconnect_pool() {
    if ! asterisk_cli 'odbc show all' | grep -q 'active connections: [1-9]'; then
        asterisk_cli 'module reload res_odbc.so'
        lookup >/dev/null
    fi
}

# database STATEMENTS: what the database's administrator has to say; the rows of the answers alone
database() {
    if has_postgresql; then
        runuser -u postgres -- psql --no-psqlrc --quiet --tuples-only --no-align --set=ON_ERROR_STOP=1 "$database_name" <<< "$1"
    else
        mysql --skip-column-names "$database_name" <<< "$1"
    fi
}

# hang_up USER: end every connection of a user of the database
hang_up() {
    if has_postgresql; then
        database "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '$1'" >/dev/null
    else
        database "KILL USER '$1'"
    fi
}

# change_password PASSWORD: of Asterisk's user, in the database alone
change_password() {
    if has_postgresql; then
        database "ALTER ROLE asterisk PASSWORD '$1'"
    else
        database "ALTER USER 'asterisk'@'%' IDENTIFIED BY '$1'"
    fi
}

main_pid() {
    systemctl show --property=MainPID --value "$1"
}

# listens PORT: something accepts TCP connections on the port
listens() {
    ss -Hltn "sport = :$1" | grep -q .
}

# data_directory: where the database keeps its files: /var/lib/mariadb on newer releases of Debian
data_directory() {
    if has_postgresql; then echo /var/lib/postgresql/*/main; fi
    for directory in /var/lib/mariadb /var/lib/mysql; do
        if [ -d "$directory/mysql" ]; then echo "$directory"; fi
    done
}

# keep_account NAME: keep an account's rows as they are, for restore_account
keep_account() {
    mkdir -p "$(dirname "$kept")"
    if has_postgresql; then
        for table in ps_endpoints ps_auths ps_aors; do
            echo "COPY $table FROM stdin;"
            database "COPY (SELECT * FROM $table WHERE id = '$1') TO STDOUT"
            echo '\.'
        done >"$kept.sql"
    elif has_pjsip; then
        mysqldump --no-create-info --replace --where="id = '$1'" asterisk ps_endpoints ps_auths ps_aors >"$kept.sql"
    else
        mysqldump --no-create-info --replace --where="name = '$1'" asterisk sippeers >"$kept.sql"
    fi
}

# change_account NAME STATEMENTS: keep an account's rows as they are, then change them
change_account() {
    keep_account "$1"
    database "$2"
    forget_peer "$1"
}

# restore_account NAME: the account's rows as they were, without a contact
restore_account() {
    if [ -f "$kept.sql" ]; then
        if has_pjsip; then
            database "DELETE FROM ps_contacts WHERE endpoint = '$1'; DELETE FROM ps_endpoints WHERE id = '$1';
                DELETE FROM ps_auths WHERE id = '$1'; DELETE FROM ps_aors WHERE id = '$1'"
        else
            database "DELETE FROM sippeers WHERE name = '$1'"
        fi
        database "$(cat "$kept.sql")"
        rm "$kept.sql"
        forget_peer "$1"
    fi
}

# forget_peer NAME: chan_sip reads the account again
forget_peer() {
    has_pjsip || asterisk_cli "sip prune realtime peer $1"
}

# knock NAME: one REGISTER as the account without a password, as its client begins, from the server itself
knock() {
    python3 - "$1" "$ADDRESS" <<'PYTHON'
import socket, sys

user, server = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
    client.settimeout(3)
    client.connect((server, 5060))
    own = "%s:%d" % client.getsockname()
    client.send("\r\n".join((
        "REGISTER sip:%s SIP/2.0" % server,
        "Via: SIP/2.0/UDP %s;branch=z9hG4bKknock;rport" % own,
        "From: <sip:%s@%s>;tag=knock" % (user, server),
        "To: <sip:%s@%s>" % (user, server),
        "Call-ID: knock@%s" % own,
        "CSeq: 1 REGISTER",
        "Contact: <sip:%s@%s>" % (user, own),
        "Max-Forwards: 70",
        "Content-Length: 0",
        "", "",
    )).encode())
    print(client.recv(2048).splitlines()[0].decode())
PYTHON
}

# password_of NAME: the account's password as the server has it
password_of() {
    if has_pjsip; then
        database "SELECT password FROM ps_auths WHERE id = '$1'"
    else
        database "SELECT secret FROM sippeers WHERE name = '$1'"
    fi
}

# register_as NAME [SECONDS [MORE]]: REGISTER as the account over TLS with the password on standard input, from the server
# itself, with MORE at the end of its contact, answer its questions, and vanish after SECONDS without a word; prints the
# answer
register_as() {
    # The program comes by another channel than the password, which no argument may be.
    python3 <(cat <<'PYTHON'
import hashlib, re, socket, ssl, sys, time

user, server, seconds, more_of_contact = sys.argv[1:]
password = sys.stdin.readline().strip()
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
md5 = lambda *parts: hashlib.md5(":".join(parts).encode()).hexdigest()
uri = "sip:%s" % server
with context.wrap_socket(socket.create_connection((server, 5061), 3)) as client:
    own = "%s:%d" % client.getsockname()[:2]
    heard = ""

    def say(*lines):
        client.sendall("\r\n".join((*lines, "Content-Length: 0", "", "")).encode())

    def answer(seconds):
        """The next final answer within so many seconds, or None; what the server asks is answered meanwhile."""
        global heard
        end = time.monotonic() + seconds
        while True:
            head, blank, rest = heard.partition("\r\n\r\n")
            if blank:
                heard = rest
                if re.match("SIP/2.0 [2-6]", head):
                    return head
                if head.startswith("OPTIONS "):
                    say("SIP/2.0 200 OK", *re.findall("(?im)^(?:Via|From|To|Call-ID|CSeq): [^\r]*", head))
                continue
            try:
                client.settimeout(max(0.001, end - time.monotonic()))
                piece = client.recv(4096)
            except socket.timeout:
                return None
            if not piece:
                return None
            heard += piece.decode()

    def ask(number, *more):
        say("REGISTER %s SIP/2.0" % uri,
            "Via: SIP/2.0/TLS %s;branch=z9hG4bKas%d;rport" % (own, number),
            "From: <sip:%s@%s>;tag=as" % (user, server),
            "To: <sip:%s@%s>" % (user, server),
            "Call-ID: as@%s" % own,
            "CSeq: %d REGISTER" % number,
            "Contact: <sip:%s@%s;transport=tls%s>" % (user, own, more_of_contact),
            "Expires: 600", "Max-Forwards: 70", *more)
        return answer(3)

    asked = re.search("(?im)^WWW-Authenticate: Digest .*$", ask(1)).group()
    realm, nonce = (re.search('%s="([^"]*)"' % name, asked).group(1) for name in ("realm", "nonce"))
    qop = ("00000001", "as", "auth") if "qop" in asked else ()
    proof = md5(md5(user, realm, password), nonce, *qop, md5("REGISTER", uri))
    said = 'Digest username="%s",realm="%s",nonce="%s",uri="%s",response="%s",algorithm=MD5' % (
        user, realm, nonce, uri, proof)
    print(ask(2, "Authorization: " + said + (',qop=auth,nc=00000001,cnonce="as"' if qop else "")).splitlines()[0])
    answer(float(seconds))
PYTHON
) "$1" "$ADDRESS" "${2:-0}" "${3:-}"
}

# openssl_of_asterisk SETTING…: what OpenSSL in Asterisk may do, once it is started again; without a setting as before
openssl_of_asterisk() {
    local drop_in=/run/systemd/system/asterisk.service.d/openssl.conf
    rm -f "$drop_in"
    if [ $# -gt 0 ]; then
        mkdir -p "$(dirname "$drop_in")"
        printf '%s\n' 'openssl_conf = openssl' '[openssl]' 'ssl_conf = modules' '[modules]' \
            'system_default = policy' '[policy]' "$@" > /run/openssl-of-asterisk.cnf
        printf '%s\n' '[Service]' 'Environment=OPENSSL_CONF=/run/openssl-of-asterisk.cnf' > "$drop_in"
    fi
    systemctl daemon-reload
}
